package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOwnerOf: whose a cache is, by those of its directories that are there.
func TestOwnerOf(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	const one, other = 4711, 4712
	for _, tt := range []struct {
		name string
		of   []int // the owners of cache_dir, of .im and of state_dir; -1: it is not there
		uid  int   // 0: nobody's whom root would be
	}{
		{"nothing is there yet", []int{-1, -1, -1}, 0},
		{"root's", []int{0, 0, 0}, 0},
		{"a user's", []int{one, one, one}, one},
		{"a user's, not used yet", []int{one, -1, one}, one},
		{"a user's, without a state", []int{one, one, -1}, one},
		{"a user's, used by root", []int{one, 0, one}, 0},
		{"two users'", []int{one, one, other}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			dirs := places(filepath.Join(dir, "cache"), filepath.Join(dir, "state"))
			for i, uid := range tt.of {
				if uid < 0 {
					continue
				}
				if err := os.MkdirAll(dirs[i], 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Chown(dirs[i], uid, uid+1); err != nil {
					t.Fatal(err)
				}
			}
			uid, gid, ok, err := ownerOf(dirs...)
			if err != nil || ok != (tt.uid != 0) || ok && (uid != tt.uid || gid != tt.uid+1) {
				t.Errorf("user %d, group %d, %v, %v; want %d", uid, gid, ok, err, tt.uid)
			}
		})
	}
}
