package serve

import (
	"net/url"
	"strings"
	"testing"

	"intelligentmirror/internal/visible"
)

// TestPagesOfHostileNames: whatever a package is called, the status page, what follows it
// and the list of its directory show the name with what does not show escaped, so that it
// looks like no other and turns nothing beside it; the link leads to the package itself.
func TestPagesOfHostileNames(t *testing.T) {
	const (
		name = "vlc\u202egpj\u2066\u200b\u3164\ufe0f\u00ad-1-1.noarch.rpm"
		want = `vlc\u202egpj\u2066\u200b\u3164\ufe0f\u00ad-1-1.noarch.rpm`
	)
	m := newMirror(t, setup{})
	m.put("os/Packages/"+name, rpm(3000, 1))
	m.prime("os/Packages/" + url.PathEscape(name))
	for path, link := range map[string]string{"/-/": "", "/-/status.json": "", "/r/os/Packages/": "./" + url.PathEscape(name)} {
		page := string(m.get(path, "Accept", "text/html").body)
		if visible.Text(page, "\n\t"+thousands) != page {
			t.Errorf("%s has what does not show: %q", path, page)
		}
		if !strings.Contains(page, want) || !strings.Contains(page, link) {
			t.Errorf("%s does not show the name: %s", path, page)
		}
	}
}
