package config

import (
	"fmt"
	"slices"
)

// inert is a key that this version accepts and does not act on. A key leaves
// the list below with the change that acts on it.
type inert struct {
	key string
	why string // what happens in its place
}

// inertKeys are those keys. None of [[repo]] is among them.
var inertKeys = [...]inert{
	{"sync.keep", "no version is ever deleted"},
}

// Warnings has a sentence for each thing that the administrator should know
// before relying on this configuration: above all the keys that were set and
// that this version does not act on yet. Both programs log them as they start.
func (c *Config) Warnings() []string {
	warnings := slices.Clone(c.caveats)
	for _, i := range inertKeys {
		for _, k := range settings(c) {
			if o := c.origins[k.key]; k.key == i.key && o.set {
				warnings = append(warnings, fmt.Sprintf("%s: %s is set, but has no effect in this version: %s", o.text, i.key, i.why))
			}
		}
	}
	return warnings
}
