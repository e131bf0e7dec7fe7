package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/visible"
	imsync "intelligentmirror/sync"
)

// TestTablesOfHostileNames: whatever packages and files are called, a table has a line each,
// and no terminal does what the names say.
func TestTablesOfHostileNames(t *testing.T) {
	const name = "\x1b[2Jvlc\u202e\n<script>\t\x00"
	report := &imsync.Report{Started: time.Unix(0, 0), Finished: time.Unix(1, 0)}
	report.Items = []imsync.FetchedItem{{Item: imsync.Item{Name: name, EVR: name, Arch: name, Because: name}}}
	report.Roots = []*imsync.RootReport{{Root: name, Failed: []imsync.Failure{{Path: name, Error: name}}}}
	var b strings.Builder
	writeReport(visible.Writer{W: &b}, report, nil)
	if got := b.String(); strings.ContainsAny(got, "\x1b\u202e\x00\t") || !strings.Contains(got, `\x1b[2Jvlc\u202e\n<script>\t\x00`) {
		t.Errorf("%q", got)
	}
}

// TestLastWordsOfHostileNames: what a command ends with does nothing to a terminal either.
func TestLastWordsOfHostileNames(t *testing.T) {
	var b strings.Builder
	if code := run(t.Context(), []string{"status", "--config", "/nonexistent/\x1b[2J"}, io.Discard, &b); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	if got := b.String(); strings.ContainsRune(got, '\x1b') || !strings.Contains(got, `/nonexistent/\x1b[2J`) || !strings.HasSuffix(got, "\n") {
		t.Errorf("%q", got)
	}
}
