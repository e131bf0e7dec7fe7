// Package prometheus_test holds that promtool accepts the alerts of this folder, that they fire when they should, and that
// they and Grafana's dashboard ask for metrics that there are.
package prometheus_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

const (
	rules     = "intelligentmirror.rules.yml"
	dashboard = "../grafana/intelligentmirror.json"
)

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(testrepo.Program(t, "promtool"), args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlerts(t *testing.T) {
	promtool(t, "check", "rules", rules)
	promtool(t, "test", "rules", "rules_test.yml")
}

// expressions are what the dashboard asks for, with values in place of Grafana's variables.
func expressions(t *testing.T) []string {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, dashboard), &board); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			list = append(list, strings.NewReplacer("$instance", ".*", "$__range", "1d", "$__rate_interval", "5m").Replace(target.Expr))
		}
	}
	if len(list) == 0 {
		t.Fatal("the dashboard asks for nothing")
	}
	return list
}

func TestDashboard(t *testing.T) {
	var b strings.Builder
	b.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, e := range expressions(t) {
		fmt.Fprintf(&b, "  - {record: 'panel:%d', expr: %q}\n", i, e)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// What is asked for is a metric of the programs, and what is a metric is in the document.
func TestMetricsExist(t *testing.T) {
	metrics := map[string]bool{}
	for _, dir := range []string{"../../serve", "../../cmd/imserve"} {
		err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
				for _, m := range regexp.MustCompile(`"(im(?:serve|sync)_[a-z_]+)"`).FindAllSubmatch(read(t, filepath.Join(dir, name)), -1) {
					metrics[string(m[1])] = true
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(metrics) < 20 {
		t.Fatalf("only %d metrics were found in the sources", len(metrics))
	}
	document := string(read(t, "../../docs/RUNNING.md"))
	for name := range metrics {
		if !strings.Contains(document, name) {
			t.Errorf("docs/RUNNING.md does not name %s", name)
		}
	}
	asked := regexp.MustCompile(`im(?:serve|sync)_[a-z_]+`).FindAllString(string(read(t, rules))+strings.Join(expressions(t), "\n"), -1)
	slices.Sort(asked)
	for _, name := range slices.Compact(asked) {
		base := name
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if !metrics[base] {
			t.Errorf("there is no metric %s", name)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
