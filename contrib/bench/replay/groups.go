package main

import (
	"fmt"
	"os"
	"slices"

	"intelligentmirror/internal/repodata"
	imsync "intelligentmirror/sync"
)

// readComps reads the groups of a comps.xml; "" is none.
func readComps(file string) ([]*repodata.Group, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	groups, err := imsync.ReadGroups(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return groups, nil
}

// grouping is what of the trace's packages can be installed together.
type grouping struct {
	of           [][]int // by package, the groups that have it
	members      [][]int // by group, its packages, those of the groups that it is made of too
	environments [][]int // the packages of those that a machine can begin with
}

// group finds the packages of the groups. An environment, which is made of nothing
// but groups, brings also what the Debian tasks have that are named for these: as
// Fedora's has the group xfce-desktop, and Debian the task task-xfce-desktop.
func group(packs []*pack, groups []*repodata.Group) *grouping {
	place := make(map[string]int, len(packs))
	for i, p := range packs {
		place[p.name] = i
	}
	byID := map[string]*repodata.Group{}
	for _, g := range groups {
		byID[g.ID] = g
	}
	g := &grouping{of: make([][]int, len(packs))}
	for _, one := range groups {
		environment := len(one.Packages) == 0 && len(one.Groups) > 0
		members := map[int]bool{}
		seen := map[string]bool{}
		var add func(id string)
		add = func(id string) {
			of := byID[id]
			if of == nil || seen[id] {
				return
			}
			seen[id] = true
			for _, name := range of.Packages {
				if i, ok := place[name]; ok {
					members[i] = true
				}
			}
			for _, id := range of.Groups {
				add(id)
				if environment {
					add("task-" + id)
				}
			}
		}
		add(one.ID)
		if len(members) == 0 {
			continue
		}
		var list []int
		for i := range packs {
			if members[i] {
				list = append(list, i)
			}
		}
		if environment {
			g.environments = append(g.environments, list)
			continue
		}
		for _, i := range list {
			g.of[i] = append(g.of[i], len(g.members))
		}
		g.members = append(g.members, list)
	}
	return g
}

// environment is what machines of a role begin with: nothing where there are none.
func (g *grouping) environment(seed uint64, role int) []int {
	if len(g.environments) == 0 {
		return nil
	}
	return g.environments[random(seed, "environment", fmt.Sprint(role)).IntN(len(g.environments))]
}

// coverage counts the packages that any group has, and the groups that have several.
func (g *grouping) coverage() (packs, groups int) {
	for _, of := range g.of {
		if len(of) > 0 {
			packs++
		}
	}
	return packs, len(slices.DeleteFunc(slices.Clone(g.members), func(m []int) bool { return len(m) < 2 }))
}
