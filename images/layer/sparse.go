package layer

import (
	"archive/tar"
	"bytes"
	"io"

	"github.com/veneerdm/veneer/images/internal/dirfd"
)

// sparse says whether the tar stored the file with holes.
func sparse(hdr *tar.Header) bool {
	if hdr.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for _, record := range []string{"GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.realsize"} {
		if _, ok := hdr.PAXRecords[record]; ok {
			return true
		}
	}
	return false
}

// sparseContent writes a sparse file. The tar reader gives its holes as zeros;
// blocks of zeros become holes again.
func (a *applier) sparseContent(f dirfd.File, r io.Reader) error {
	const block = 4096
	var zeros [block]byte
	for left := a.hdr.Size; left > 0; {
		n, err := io.ReadFull(r, a.buf[:min(left, int64(len(a.buf)))])
		if err != nil {
			return a.cut(err)
		}
		for chunk := a.buf[:n]; len(chunk) > 0; {
			run, hole := 0, false
			for ; run < len(chunk); run += block {
				part := chunk[run:min(run+block, len(chunk))]
				isHole := bytes.Equal(part, zeros[:len(part)])
				if run > 0 && isHole != hole {
					break
				}
				hole = isHole
			}
			run = min(run, len(chunk))
			if hole {
				err = f.Skip(int64(run))
			} else {
				_, err = f.Write(chunk[:run])
			}
			if err != nil {
				return a.fail("write", err)
			}
			chunk = chunk[run:]
		}
		if left -= int64(n); a.ctx.Err() != nil {
			return a.ctx.Err()
		}
	}
	if err := f.Truncate(a.hdr.Size); err != nil {
		return a.fail("set the size", err)
	}
	return nil
}
