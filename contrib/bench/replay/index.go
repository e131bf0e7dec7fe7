package main

import (
	"bufio"
	"os"
	"slices"
	"strings"

	"intelligentmirror/internal/repodata"
)

// index is what a Debian Packages file says.
type index struct {
	sources map[string]string // by name, which source it is built from; those of another name alone
	// tasks are the installer's tasks and the metapackages, as comps has groups: what
	// they bring along on a machine that takes recommendations.
	tasks []*repodata.Group
}

// readIndex reads a Packages file; "" is none.
func readIndex(file string) (*index, error) {
	x := &index{sources: map[string]string{}}
	if file == "" {
		return x, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var task repodata.Group
	var section string
	end := func() {
		if section == "tasks" || section == "metapackages" {
			x.tasks = append(x.tasks, &repodata.Group{ID: task.ID, Packages: task.Packages})
		}
		task, section = repodata.Group{}, ""
	}
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "":
			end()
		case "Package":
			task.ID = value
		case "Source":
			x.sources[task.ID], _, _ = strings.Cut(value, " ")
		case "Section":
			section = value
		case "Depends", "Recommends":
			task.Packages = append(task.Packages, firstNames(value)...)
		}
	}
	end()
	x.nest()
	return x, lines.Err()
}

// firstNames are the names that a relation asks for, of alternatives the first.
func firstNames(relation string) (names []string) {
	for of := range strings.SplitSeq(relation, ",") {
		name := strings.TrimSpace(of)
		if end := strings.IndexAny(name, " |(:"); end >= 0 {
			name = name[:end]
		}
		names = append(names, name)
	}
	return names
}

// nest makes of what the tasks ask for that is one of them a group that it is made
// of. The installer itself, which all ask for, is none of their packages.
func (x *index) nest() {
	isTask := map[string]bool{}
	for _, t := range x.tasks {
		isTask[t.ID] = true
	}
	for _, t := range x.tasks {
		t.Packages = slices.DeleteFunc(t.Packages, func(name string) bool {
			if isTask[name] {
				t.Groups = append(t.Groups, name)
			}
			return isTask[name] || name == "tasksel"
		})
	}
}
