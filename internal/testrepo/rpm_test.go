package testrepo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPackagesPassRPMsChecks(t *testing.T) {
	rpmkeys := Program(t, "rpmkeys")
	dir := build(t, awkward(), BuildOptions{})
	db := "--dbpath=" + t.TempDir()
	for _, s := range awkward() {
		name := filepath.Join(dir, s.Location())
		out := run(t, rpmkeys, db, "--checksig", "--verbose", name)
		for _, want := range []string{"Header SHA256 digest: OK", "Payload SHA256 digest: OK"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q:\n%s", s.NEVRA(), want, out)
			}
		}
	}
	// The check above is worth something: one byte of payload more or less fails it.
	victim := filepath.Join(dir, awkward()[0].Location())
	raw, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-100] ^= 1
	if err := os.WriteFile(victim, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	out := run(t, "sh", "-c", `! "$@"`, "sh", rpmkeys, db, "--checksig", "--verbose", victim)
	if !strings.Contains(out, "Payload SHA256 digest: BAD") {
		t.Errorf("a flipped bit is not found:\n%s", out)
	}
}

func TestPackageHeaders(t *testing.T) {
	rpm := Program(t, "rpm")
	dir := build(t, awkward(), BuildOptions{})
	query := func(s Spec, what ...string) []string {
		t.Helper()
		args := append([]string{"--dbpath=" + t.TempDir(), "-qp"}, append(what, filepath.Join(dir, s.Location()))...)
		lines := strings.Split(strings.TrimSpace(run(t, rpm, args...)), "\n")
		slices.Sort(lines)
		return lines
	}
	app, data := awkward()[0], awkward()[2]
	for _, tt := range []struct {
		name string
		got  []string
		want []string
	}{
		{"requires", query(app, "--requires"), app.Requires},
		{"provides", query(data, "--provides"), []string{"app-data = 2:3.1~rc1-1.fc41"}},
		{"provides of an architecture", query(app, "--provides"), []string{"app = 1.0-1.fc41", "app(x86-64) = 1.0-1.fc41"}},
		{"recommends", query(app, "--recommends"), app.Recommends},
		{"obsoletes", query(app, "--obsoletes"), app.Obsoletes},
		{"conflicts", query(app, "--conflicts"), app.Conflicts},
		{"files", query(app, "--list"), []string{"/usr/bin/app", "/etc/app.conf", "/etc/app.d",
			"/usr/share/doc/app/README", "/usr/share/app/app-1.0-1.fc41.x86_64.dat"}},
		{"tags", query(awkward()[1], "--queryformat", "%{nevra} %{sourcerpm} %{buildtime} %{longsize}\n"),
			[]string{"app-libs-1.0-1.fc41.x86_64 app-1.0-1.fc41.src.rpm 1730462400 40000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := slices.Sorted(slices.Values(tt.want))
			if diff := cmp.Diff(want, tt.got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
