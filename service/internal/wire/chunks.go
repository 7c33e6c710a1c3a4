package wire

// Chunks sends the items of a list in messages of about ChunkSize bytes.
type Chunks[T any] struct {
	Size func(T) int     // of an item, in bytes
	Send func([]T) error // one message

	items []T
	size  int
}

// Add puts an item into the list.
func (c *Chunks[T]) Add(item T) error {
	c.items = append(c.items, item)
	if c.size += c.Size(item); c.size < ChunkSize {
		return nil
	}
	return c.Flush()
}

// Flush sends what has not been sent. It is called when the list ends.
func (c *Chunks[T]) Flush() error {
	if len(c.items) == 0 {
		return nil
	}
	items := c.items
	c.items, c.size = nil, 0
	return c.Send(items)
}

// Text is the size of a string in a message.
func Text(s string) int { return len(s) + 8 }

// Writer sends the bytes that are written to it in messages of at most ChunkSize.
type Writer func([]byte) error

func (w Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		piece := p[:min(len(p), ChunkSize)]
		if err := w(piece); err != nil {
			return n, err
		}
		n += len(piece)
		p = p[len(piece):]
	}
	return n, nil
}
