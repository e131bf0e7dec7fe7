package popularity

import "strings"

// kind is what a target was found to be.
type kind uint8

const (
	kindSkip kind = iota
	kindPackage
	kindRepomd
)

// finding is what a target is, as far as that shows without what else was asked for.
type finding struct {
	kind kind
	why  reason // of kindSkip
	// With its repository: a package's directory, or the root.
	dir  string
	base string // a package's name in dir
	// plain is set of a package's target that is its path, with a slash before it.
	plain bool
}

// placer finds out what targets are. It may be used by several goroutines at once.
type placer struct {
	resolve   func(host, path string) (repo, rest string, ok bool)
	isPackage func(path string) bool
}

const repomdPath = "repodata/repomd.xml"

// find says what a target is. What it returns may be parts of target.
func (p *placer) find(target string) finding {
	path, ok, why := p.locate(target)
	if !ok {
		return finding{why: why}
	}
	if root, found := strings.CutSuffix(path, "/"+repomdPath); found {
		return finding{kind: kindRepomd, dir: root}
	}
	plain := target[1:] == path
	slashed := target
	if !plain {
		slashed = "/" + path
	}
	if !p.isPackage(slashed) {
		return finding{why: reasonNoPackage}
	}
	dir, base, _ := cutLast(path, "/")
	if _, _, ok := packageName(dir, base); !ok {
		return finding{why: reasonFileName}
	}
	return finding{kind: kindPackage, dir: dir, base: base, plain: plain}
}

// locate is the repository and the path in it that a target names, decoded and
// with a slash between them; why not where it names none.
func (p *placer) locate(target string) (path string, ok bool, why reason) {
	host, escaped, ok := splitTarget(unescapeLog(target))
	if !ok {
		return "", false, reasonTarget
	}
	repo, rest, ok := p.resolve(host, escaped)
	if !ok {
		return "", false, reasonNoRepo
	}
	if rest, ok = cleanPath(rest); !ok {
		return "", false, reasonTarget
	}
	if n := len(repo) + 1; len(target) == n+1+len(rest) && target[0] == '/' && target[n] == '/' && target[1:n] == repo && target[n+1:] == rest {
		return target[1:], true, reasonNone // it stands there as it is
	}
	return repo + "/" + rest, true, reasonNone
}
