package dmthin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// Dump writes what can be read of the metadata in the XML that thin_restore takes. It
// goes past damaged mappings and says how many nodes of trees it could not read; the
// two trees of devices themselves must be whole.
func (m *Metadata) Dump(ctx context.Context, w io.Writer, data DataBlocks) (unreadable int, err error) {
	devices, err := m.Devices(ctx)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "<superblock uuid=\"\" time=\"%d\" transaction=\"%d\" version=\"2\" data_block_size=\"%d\" nr_data_blocks=\"%d\">\n",
		m.sb.Time, m.sb.Transaction, m.sb.DataBlockSize, data)
	for _, d := range devices {
		var leaves []node
		mapped := 0
		unreadable += m.readable(ctx, branch{d.root, everything}, 0, func(n node) {
			n.keys, n.values = append([]byte(nil), n.keys...), append([]byte(nil), n.values...)
			leaves = append(leaves, n)
			mapped += n.n
		})
		fmt.Fprintf(out, "<device dev_id=\"%d\" mapped_blocks=\"%d\" transaction=\"%d\" creation_time=\"%d\" snap_time=\"%d\">\n",
			d.ID, mapped, d.Transaction, d.Created, d.Snapshotted)
		for _, n := range leaves {
			for i := range n.n {
				p := n.mapping(i)
				fmt.Fprintf(out, "<single_mapping origin_block=\"%d\" data_block=\"%d\" time=\"%d\"/>\n", p.Virtual, p.Data, p.Time)
			}
		}
		fmt.Fprintln(out, "</device>")
	}
	fmt.Fprintln(out, "</superblock>")
	return unreadable, errors.Join(out.Flush(), ctx.Err())
}

// readable visits the leaves of a tree that can be read, and counts the nodes that
// cannot.
func (m *Metadata) readable(ctx context.Context, at branch, depth int, leaf func(node)) (lost int) {
	if depth == maxDepth {
		return 1
	}
	children, err := m.expand(ctx, []branch{at}, 8, func(_ int, n node) error { leaf(n); return nil })
	if err != nil {
		return 1
	}
	for _, c := range children {
		lost += m.readable(ctx, c, depth+1, leaf)
	}
	return lost
}
