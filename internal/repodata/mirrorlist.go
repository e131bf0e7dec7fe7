package repodata

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// ParseMirrorlist reads a list of mirrors of at most 4 MiB: a URL a line, best
// first, each of a root; lines that are empty or begin with `#` mean nothing. A
// URL with `$releasever` or the like, which only a client can fill in, is left
// out. A line that is no URL makes it no list: an error message or a login page
// in its place must not be taken for a list that has become empty.
func ParseMirrorlist(r io.Reader) ([]string, error) {
	b, err := io.ReadAll(&bounded{r: r, left: maxList})
	if err != nil {
		return nil, fmt.Errorf("mirror list: %w", err)
	}
	var urls []string
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff"))))
	lines.Buffer(nil, len(b)+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || strings.Contains(line, "$") {
			continue
		}
		if u, err := url.Parse(line); err != nil || u.Scheme == "" || u.Host == "" || len(line) > maxURLLength {
			return nil, fmt.Errorf("mirror list: the line %.100q is no URL", line)
		}
		if len(urls) == maxURLs {
			return nil, fmt.Errorf("mirror list: more than %d addresses", maxURLs)
		}
		urls = append(urls, line)
	}
	return urls, lines.Err()
}
