package systest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// serviceUser is the number of a user who is not root, as that of the services is.
const serviceUser = 65534

// TestRootLeavesNothing: what root does by hand on a machine whose cache is the
// services' user's is that user's: no file or folder there becomes root's, which the
// services could not write.
func TestRootLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		testrepo.Lacking(t, "only root can go on as somebody else")
	}
	s := newSite(t, "[sync]\npackages = [\"mplayer\"]\nroots = [\""+rootName+"\"]")
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.log(specs)
	for dir := s.dir; dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{s.dir + "/cache", s.dir + "/state"} {
		s.mkdir(dir)
		if err := os.Chown(dir, serviceUser, serviceUser); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"rank"}, {"once"}, {"status"}, {"plan"}, {"hold", rootName}, {"release", rootName}, {"verify"}, {"prune"}, {"purge", rootName + "/Packages"},
	} {
		if r := s.imsync(args...); r.code != 0 {
			t.Errorf("imsync %q: exit code %d\n%s", args, r.code, r.stderr)
		}
	}
	// What root alone may read comes by standard input.
	s.write(s.dir+"/secret.log", string(logText(t, testrepo.Combined, traffic(specs)[:20])))
	if err := os.Chmod(s.dir+"/secret.log", 0o600); err != nil {
		t.Fatal(err)
	}
	secret, err := os.Open(s.dir + "/secret.log")
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	cmd := exec.Command(filepath.Join(programs, "imsync"), "rank", "-", "--config", s.config)
	cmd.Stdin = secret
	if p := launch(t, "imsync rank -", cmd); p.wait() != 0 || !strings.Contains(p.stdout.String(), " in 1 logs") {
		t.Errorf("imsync rank -: %s%s", p.stdout.String(), p.stderr.String())
	}
	seen := 0
	for _, dir := range []string{s.dir + "/cache", s.dir + "/state"} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			seen++
			if st := fi.Sys().(*syscall.Stat_t); st.Uid != serviceUser {
				t.Errorf("%s is user %d's", name, st.Uid)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 10 {
		t.Errorf("there are only %d files and folders", seen)
	}
}
