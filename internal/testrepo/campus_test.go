package testrepo

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// closure maps each package that the named ones need, themselves included, to
// how many steps it is away. It is written for these lists alone, and says what
// nothing provides.
func closure(t *testing.T, specs []Spec, names ...string) map[string]int {
	t.Helper()
	provider := make(map[string]string)
	deps := make(map[string][]dep)
	versions := make(map[string]string)
	for _, s := range specs {
		p := pkg{Spec: s}
		if err := p.resolve(); err != nil {
			t.Fatal(err)
		}
		deps[s.Name] = p.requires
		for _, f := range s.Files {
			provider[f] = s.Name
		}
		for _, d := range p.provides {
			provider[d.name] = s.Name
			versions[d.name] = d.evr()
		}
	}
	level := make(map[string]int)
	for next, depth := names, 0; len(next) > 0; depth++ {
		var found []string
		for _, name := range next {
			if _, ok := level[name]; ok {
				continue
			}
			level[name] = depth
			for _, d := range deps[name] {
				by, ok := provider[d.name]
				if !ok {
					t.Errorf("%s needs %s, which nothing provides", name, d.name)
					continue
				}
				if d.op == "=" && versions[d.name] != d.evr() {
					t.Errorf("%s needs %s = %s, but it is %s", name, d.name, d.evr(), versions[d.name])
				}
				found = append(found, by)
			}
		}
		next = found
	}
	return level
}

func names(specs []Spec) []string {
	var out []string
	for _, s := range specs {
		out = append(out, s.Name)
	}
	return out
}

func TestCampus(t *testing.T) {
	specs := Campus(1)
	if len(specs) < 200 {
		t.Errorf("%d packages, want 200 at least", len(specs))
	}
	all := names(specs)
	if n := len(slices.Compact(slices.Sorted(slices.Values(all)))); n != len(all) {
		t.Errorf("%d packages have %d names", len(all), n)
	}
	closure(t, specs, all...)

	level := closure(t, specs, "mplayer")
	if deepest := slices.Max(slices.Collect(maps.Values(level))); deepest != 3 {
		t.Errorf("mplayer's closure is %d levels deep, want 3: %v", deepest, level)
	}
	if _, ok := level["mplayer-skins"]; ok {
		t.Error("mplayer's closure has what it only recommends")
	}
	for _, want := range []string{"kernel", "kernel-core", "kernel-modules", "vlc", "vlc-plugins-freeworld", "gstreamer1-plugins-base", "gtk3-devel", "bash-doc"} {
		if !slices.Contains(all, want) {
			t.Errorf("no %s", want)
		}
	}
	var total, small, large int
	for _, s := range specs {
		total += s.Size
		if s.Size < minSize || s.Size > maxSize {
			t.Errorf("%s: %d bytes", s.Name, s.Size)
		}
		if s.Size < 20e3 {
			small++
		}
		if s.Size > 1e6 {
			large++
		}
	}
	if small < 30 || large < 15 || total > 300e6 {
		t.Errorf("%d packages below 20 KB, %d over 1 MB, %d bytes in all", small, large, total)
	}
	t.Logf("%d packages, %d bytes, mplayer needs %d", len(specs), total, len(level)-1)
}

func TestCampusDependsOnItsSeedAlone(t *testing.T) {
	if diff := cmp.Diff(Campus(5), Campus(5)); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(Campus(5), Campus(6)) {
		t.Error("another seed, the same packages")
	}
}

func TestSmall(t *testing.T) {
	specs := Campus(1)
	total := 0
	for i, s := range Small(specs) {
		total += s.Size
		if s.Size > specs[i].Size || s.Size < min(specs[i].Size, minSize) {
			t.Errorf("%s: %d bytes became %d", s.Name, specs[i].Size, s.Size)
		}
	}
	if total > 5e6 {
		t.Errorf("%d bytes in all", total)
	}
	if !cmp.Equal(specs, Campus(1)) {
		t.Error("Small changed its argument")
	}
}

func TestParseCampusRefuses(t *testing.T) {
	for _, tt := range []struct{ name, table string }{
		{"a stray line", "  needs glibc\n"},
		{"no version", "glibc\n"},
		{"an unknown flag", "glibc 2.40-1 wantd\n"},
		{"an unknown word", "glibc 2.40-1\n  requires bash\n"},
		{"a size that is none", "glibc 2.40-1 size=big\n"},
		{"an epoch that is none", "glibc x:2.40-1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := parseCampus(tt.table); err == nil {
				t.Errorf("no error, but %v", got)
			}
		})
	}
}

func TestOvernight(t *testing.T) {
	before := Campus(1)
	after := Overnight(before, 1)
	if !cmp.Equal(before, Campus(1)) {
		t.Error("Overnight changed its argument")
	}
	if diff := cmp.Diff(after, Overnight(before, 1)); diff != "" {
		t.Errorf("the same night twice: %s", diff)
	}
	closure(t, after, names(after)...)

	changed := make(map[string]bool) // by source package
	count := 0
	for i, s := range after {
		moved := s.EVR() != before[i].EVR()
		if was, ok := changed[s.source()]; ok && was != moved {
			t.Errorf("source package %s is updated in part", s.source())
		}
		changed[s.source()] = moved
		if moved {
			count++
		}
		if moved != s.BuildTime.After(defaultBuildTime) {
			t.Errorf("%s: updated is %v, built at %s", s.NEVRA(), moved, s.BuildTime)
		}
	}
	if !changed["kernel"] || count < 12 || count > len(after)/3 {
		t.Errorf("%d of %d packages are updated, the kernel: %v", count, len(after), changed["kernel"])
	}
	i := slices.Index(names(after), "kernel")
	if got, want := after[i].NEVRA(), "kernel-6.11.5-300.fc41.x86_64"; got != want {
		t.Errorf("kernel is %s, want %s", got, want)
	}
	if want := "kernel-core = 6.11.5-300.fc41"; !slices.Contains(after[i].Requires, want) {
		t.Errorf("kernel needs %q, not %q", after[i].Requires, want)
	}

	second := Overnight(after, 1)
	closure(t, second, names(second)...)
	if got, want := second[i].NEVRA(), "kernel-6.11.6-300.fc41.x86_64"; got != want {
		t.Errorf("kernel is %s after two nights, want %s", got, want)
	}
	if first, next := after[i].BuildTime, second[i].BuildTime; next.Sub(first) != 20*time.Hour {
		t.Errorf("built at %s, and a night later at %s", first, next)
	}
}

func TestNextVersion(t *testing.T) {
	for _, tt := range []struct {
		version, release string
		byVersion        bool
		want             string
	}{
		{"1.5.1", "4.fc41", false, "1.5.1-5.fc41"},
		{"1.5.9", "4.fc41", true, "1.5.10-1.fc41"},
		{"6.11.4", "301.fc41", true, "6.11.5-300.fc41"},
		{"3.0.0~rc1", "2.fc41", true, "3.0.0~rc2-1.fc41"},
		{"8.2.p", "1.fc41", true, "8.3.p-1.fc41"},
		{"svn", "0.fc", true, "svn1-1.fc"},
		{"1", "0.20.2024.fc41", false, "1-1.20.2024.fc41"},
		{"99999999999999999999999", "1.fc41", true, "99999999999999999999999.1-1.fc41"},
	} {
		t.Run(tt.version+"-"+tt.release, func(t *testing.T) {
			v, r := next(Spec{Version: tt.version, Release: tt.release}, tt.byVersion)
			if got := v + "-" + r; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
