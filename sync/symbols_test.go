package sync

import (
	"strings"
	"testing"
	"unsafe"
)

func TestSymbolsCopyWhatTheyKeep(t *testing.T) {
	var syms symbols
	if syms.id("") != 0 || syms.text(0) != "" {
		t.Error("the empty string is not symbol 0")
	}
	texts := []string{"glibc", strings.Repeat("x", 3*chunkSize), "bash", strings.Repeat("y", chunkSize-3), "zsh"}
	for _, s := range texts {
		id := syms.id(s)
		if syms.id(strings.Clone(s)) != id {
			t.Errorf("%.10s has two symbols", s)
		}
		if kept := syms.text(id); unsafe.StringData(kept) == unsafe.StringData(s) {
			t.Errorf("%.10s is not copied", s)
		}
	}
	for _, s := range texts {
		id, ok := syms.find(s)
		if !ok || syms.text(id) != s {
			t.Errorf("%.10s is found as %.10s", s, syms.text(id))
		}
	}
	if _, ok := syms.find("fish"); ok {
		t.Error("what is not there is found")
	}
}
