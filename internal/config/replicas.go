package config

import "fmt"

// newReplica is a [[replicate]] that says nothing.
func newReplica() Replica { return Replica{Upstream: true} }

// replicas reads the [[replicate]] tables of the file.
func (l *loader) replicas(document table) {
	c := l.config
	lines := map[string]int{}
	for _, v := range l.array(c.file, document, "replicate") {
		r, at := newReplica(), map[string]int{"": v.line}
		l.entry(c.file, "replicate", v, replicaSettings(&r), at)
		if _, ok := at["from"]; !ok {
			l.report(c.file, "replicate: from", v.line, "missing; every [[replicate]] has it")
		}
		if r.From == "" {
			continue
		}
		if line, ok := lines[r.From]; ok {
			l.report(c.file, "replicate: from", v.line,
				fmt.Sprintf("the [[replicate]] in line %d has the same; expected each once", line))
			continue
		}
		lines[r.From] = v.line
		for key, line := range at {
			c.origins[replicaOrigin(r.From, key)] = fileOrigin(c.file, line)
		}
		c.Replicas = append(c.Replicas, r)
	}
}
