package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"intelligentmirror/internal/config"
)

// accessLog is the access log's file, which may be opened again under way. It is
// safe for concurrent use.
type accessLog struct {
	mu  sync.Mutex
	out io.WriteCloser
}

// openAccessLog opens the access log of path for appending, so that it may be
// truncated at any time.
func openAccessLog(path string, stdout io.Writer) (*accessLog, error) {
	l := &accessLog{}
	return l, l.reopen(path, stdout)
}

// reopen goes on in a file that it opens at path, which may be new there. An
// error leaves all as it was.
func (l *accessLog) reopen(path string, stdout io.Writer) error {
	var out io.WriteCloser = standardOutput{stdout}
	if path != config.StandardOutput {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return fmt.Errorf("access_log: %w", err)
		}
		// It tells who asked for what: not for everybody on this machine.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		if err != nil {
			return fmt.Errorf("access_log: %w", err)
		}
		out = f
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out != nil {
		_ = l.out.Close() // its lines are written, and nobody waits for a word
	}
	l.out = out
	return nil
}

// Write implements io.Writer.
func (l *accessLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// Close closes the file.
func (l *accessLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Close()
}

// standardOutput is not ours to close.
type standardOutput struct{ io.Writer }

func (standardOutput) Close() error { return nil }
