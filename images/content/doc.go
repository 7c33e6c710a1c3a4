// Package content keeps blobs - compressed layers, configurations, manifests - in
// one directory, under their digests, in the form of an OCI image layout:
//
//	blobs/sha256/HEX            a blob, complete and verified
//	blobs/sha256/.partial-HEX   the beginning of one, to be continued
//	blobs/sha256/.new-*         one whose digest is not known yet
//
// A blob under its digest is whole, verified and on disk: it was written under
// another name, checked, flushed, renamed, and the directory flushed. A crash
// leaves at most files with a leading dot; Put continues the partial ones and
// Clean removes them. The directory is for its owner alone (mode 0700): layers
// hold setuid programs and whatever secrets their makers put in.
//
// A Store is safe for concurrent use. Two Puts of one digest must not run at the
// same time; package images sees to that.
package content
