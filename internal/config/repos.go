package config

import (
	_ "embed"
	"fmt"
)

// builtinRepos is the table of the repositories that need no entry.
//
//go:embed repos.toml
var builtinRepos string

// builtinFile names the embedded file in its problems, which a test would see.
const builtinFile = "internal/config/repos.toml"

// repos reads the [[repo]] tables of the file, and adds the built-in ones that
// they do not replace.
func (l *loader) repos(document table) {
	c := l.config
	lines := map[string]int{}
	for _, v := range l.array(c.file, document, "repo") {
		r, origins := l.repo(c.file, v)
		if r.Name == "" {
			continue
		}
		if line, ok := lines[r.Name]; ok {
			l.report(c.file, "repo "+r.Name, v.line,
				fmt.Sprintf("the [[repo]] in line %d has the same name; expected each name once", line))
			continue
		}
		lines[r.Name] = v.line
		for key, line := range origins {
			c.origins[originKey(r.Name, key)] = fileOrigin(c.file, line)
		}
		c.Repos = append(c.Repos, r)
	}
	builtins, problem := parseTOML(builtinFile, builtinRepos)
	if problem != nil {
		l.problems = append(l.problems, problem)
		return
	}
	for _, v := range l.array(builtinFile, builtins, "repo") {
		r, origins := l.repo(builtinFile, v)
		if _, replaced := lines[r.Name]; replaced {
			continue
		}
		for key := range origins {
			c.origins[originKey(r.Name, key)] = origin{text: "built-in"}
		}
		c.Repos = append(c.Repos, r)
	}
}

// array is the tables of a document that have one name: [[repo]].
func (l *loader) array(file string, document table, name string) []value {
	want := "expected an array of tables: [[" + name + "]]"
	for _, f := range document {
		if f.name != name {
			continue
		}
		list, ok := f.v.([]value)
		if !ok {
			l.report(file, name, f.line, f.kind()+"; "+want)
		}
		tables := make([]value, 0, len(list))
		for _, v := range list {
			if _, ok := v.v.(table); !ok {
				l.report(file, name, v.line, v.kind()+"; "+want)
				continue
			}
			tables = append(tables, v)
		}
		return tables
	}
	return nil
}

// repo reads one [[repo]]. Its name is "" if it has none that will do. The
// lines are those of its keys, and its own by the empty key.
func (l *loader) repo(file string, v value) (Repo, map[string]int) {
	r := Repo{RepoGPGCheck: GPGAuto}
	lines := map[string]int{"": v.line}
	all := repoSettings(&r)
	label := "repo"
	for _, f := range v.v.(table) {
		if s, ok := f.v.(string); ok && f.name == "name" {
			label = "repo " + keyText(s)
		}
	}
	l.entry(file, label, v, all, lines)
	for _, s := range all[:2] { // name and upstreams
		if _, ok := lines[s.key]; !ok {
			l.report(file, label+": "+s.key, v.line, "missing; every [[repo]] has it")
		}
	}
	return r, lines
}

// entry reads the keys of one table of an array into all, and notes in lines where
// they are.
func (l *loader) entry(file, label string, v value, all []setting, lines map[string]int) {
	known := make([]string, len(all))
	for i, s := range all {
		known[i] = s.key
	}
	for _, f := range v.v.(table) {
		found := false
		for _, s := range all {
			if s.key != f.name {
				continue
			}
			found = true
			lines[s.key] = f.line
			for _, fault := range s.set(f.value) {
				l.report(file, label+": "+s.key, fault.line, fault.text)
			}
		}
		if !found {
			l.report(file, label+": "+keyText(f.name), f.line, "unknown key"+didYouMean(f.name, known))
		}
	}
}
