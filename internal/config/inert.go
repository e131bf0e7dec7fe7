package config

import (
	"fmt"
	"slices"
)

// inert is a key that this version accepts and does not act on. A key leaves
// the list below with the change that acts on it.
type inert struct {
	key string
	off string // the value, as TOML, that asks for nothing; "" is none
	why string // what happens in its place
}

// inertKeys are those outside [[repo]].
var inertKeys = [...]inert{
	{"sync.objective", `"requests"`, `the plan is made as for "requests"`},
	{"sync.keep", "", "no version is ever deleted"},
}

// inertRepoKeys are those within [[repo]].
var inertRepoKeys = [...]inert{
	{"repo_gpgcheck", `"auto"`, "signatures of repomd.xml are NOT checked"},
}

// Warnings has a sentence for each thing that the administrator should know
// before relying on this configuration: above all the keys that were set and
// that this version does not act on yet. Both programs log them as they start.
func (c *Config) Warnings() []string {
	warnings := slices.Clone(c.caveats)
	add := func(list []inert, label string, all []setting, from func(key string) origin) {
		for _, i := range list {
			for _, s := range all {
				if o := from(s.key); s.key == i.key && o.set && s.text() != i.off {
					warnings = append(warnings, fmt.Sprintf("%s: %s%s is set, but has no effect in this version: %s",
						o.text, label, i.key, i.why))
				}
			}
		}
	}
	add(inertKeys[:], "", settings(c), func(key string) origin { return c.origins[key] })
	for i := range c.Repos {
		r := &c.Repos[i]
		add(inertRepoKeys[:], "repo "+r.Name+": ", repoSettings(r), func(key string) origin {
			return c.origins[originKey(r.Name, key)]
		})
	}
	return warnings
}
