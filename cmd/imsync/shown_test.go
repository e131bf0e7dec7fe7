package main

import (
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
