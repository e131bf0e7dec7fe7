package serve

import (
	"errors"
	"log"
	"log/slog"
	"net"
	"regexp"
	"strings"
)

// The application log has no client's address in it: who asked for what stands in
// the access log alone, which is kept for as long as the site wants it to be.

// nameless is an error of a client's connection without the address that package
// net puts into it.
func nameless(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return &net.OpError{Op: op.Op, Err: op.Err}
	}
	return err
}

// address is how package net writes one with its port.
var address = regexp.MustCompile(`(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+(?:%[^\]]*)?\]):\d+`)

// libraryLog is what net/http has to say of connections, without their addresses.
func libraryLog(to *slog.Logger) *log.Logger {
	return log.New(namelessWriter{to}, "", 0)
}

// namelessWriter logs each Write as a warning.
type namelessWriter struct{ to *slog.Logger }

func (w namelessWriter) Write(p []byte) (int, error) {
	w.to.Warn(address.ReplaceAllLiteralString(strings.TrimSuffix(string(p), "\n"), "[address]"))
	return len(p), nil
}
