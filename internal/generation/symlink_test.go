package generation_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// picture is what lies below dir, with how many names each file has: a link to one
// of them changes it too.
func picture(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err == nil {
			fmt.Fprintln(&s, p, fi.Mode(), fi.Size(), fi.ModTime(), fi.Sys().(*syscall.Stat_t).Nlink)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// TestSymlinks: symbolic links that somebody has put into the tree lead no metadata
// out of it: nothing is read there, nothing is written, linked or deleted, also where a
// directory is replaced by one between the two steps of new metadata.
func TestSymlinks(t *testing.T) {
	// moved puts a copy of what the tree has at name outside, and a link in its place.
	moved := func(name string) func(b *bench, outside string) error {
		return func(b *bench, outside string) error {
			from, to := filepath.Join(b.dir, name), filepath.Join(outside, "moved")
			return errors.Join(os.CopyFS(to, os.DirFS(from)), os.RemoveAll(from), os.Symlink(to, from))
		}
	}
	const repodata = "r/updates/41/repodata"
	for _, tt := range []struct {
		name string
		put  func(b *bench, outside string) error
		into bool // what is linked is a file: a rename takes the link's place
	}{
		{"repodata", moved(repodata), false},
		{"a directory above", moved("r/updates"), false},
		{"the repository", moved("r"), false},
		{"repomd.xml", func(b *bench, outside string) error {
			name := filepath.Join(b.dir, repodata, "repomd.xml")
			return errors.Join(os.Rename(name, filepath.Join(outside, "moved")), os.Symlink(filepath.Join(outside, "moved"), name))
		}, true},
		{"a signature", func(b *bench, outside string) error {
			return errors.Join(os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600),
				os.Symlink(filepath.Join(outside, "secret"), filepath.Join(b.dir, repodata, "repomd.xml.asc")))
		}, true},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/late=%v", tt.name, late), func(t *testing.T) {
				one, two := spec("kernel", "6.8"), spec("kernel", "6.9")
				b := newBench(t, testrepo.BuildOptions{}, one)
				b.flip(b.mustStage())
				outside := t.TempDir()
				b.setNow(b.now().AddDate(0, 0, 1))
				b.publish(testrepo.BuildOptions{}, two)
				put := func() string {
					if err := tt.put(b, outside); err != nil {
						t.Fatal(err)
					}
					return picture(t, outside)
				}
				var before string
				if !late {
					before = put()
				}
				staged, err := b.stage()
				if late {
					if err != nil {
						t.Fatal(err)
					}
					before = put()
				}
				if err == nil {
					err = b.store.Flip(staged.Generation)
				}
				if !tt.into && err == nil {
					t.Error("the new metadata is current, outside of the tree")
				}
				if err := b.store.Hold(t.Context(), b.cache, b.root, b.mirrors.Grab()); !tt.into && err == nil {
					t.Error("what lies outside of the tree is held")
				}
				if w, _ := b.lookup(one); !tt.into && w.Known() {
					t.Errorf("metadata outside of the tree promises %v", w)
				}
				if after := picture(t, outside); after != before {
					t.Errorf("outside of the tree:\n%s\nbefore:\n%s", after, before)
				}
			})
		}
	}
}
