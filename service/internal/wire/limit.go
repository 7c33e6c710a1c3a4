package wire

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/veneerdm/veneer/class"
)

// API is the version of the protocol.
const API = 1

const (
	// MaxMessage is the largest message in bytes, in either direction. containerd has the
	// same limit (defaults.DefaultMaxRecvMsgSize), and shares the socket.
	MaxMessage = 16 << 20
	// ChunkSize is how many bytes of a list or of a file are sent in one message.
	ChunkSize = 1 << 20
)

// Fits says why a message cannot be sent: it is too large, or a text in it is not UTF-8.
// It looks before gRPC does, whose errors tell neither from a failure of the connection.
func Fits(m proto.Message) error {
	if size := proto.Size(m); size > MaxMessage {
		return fmt.Errorf("%w: the request has %d bytes, and a message has %d at most", class.Invalid, size, MaxMessage)
	}
	if _, err := proto.Marshal(m); err != nil {
		return fmt.Errorf("%w: the request cannot be sent: %w", class.Invalid, err)
	}
	return nil
}

const (
	// CallHeader is where a client gives a call a name, to ask with AwaitEnd when the call
	// has ended.
	CallHeader = "veneer-call"
	// MaxCallName is the longest such name in bytes.
	MaxCallName = 64
)
