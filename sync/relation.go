package sync

import "intelligentmirror/internal/repodata"

// sense says how two versions must compare; RPM's own three bits.
type sense uint8

const (
	less sense = 1 << iota
	greater
	equal
)

// senseOf reads the flags attribute of a dependency. Anything else asks for the
// name alone.
func senseOf(flags string) sense {
	switch flags {
	case "LT":
		return less
	case "LE":
		return less | equal
	case "EQ":
		return equal
	case "GE":
		return greater | equal
	case "GT":
		return greater
	}
	return 0
}

// overlap reports whether some version is within both ranges, as rpm decides
// it: a side without a version overlaps with all, and the release counts only
// if both sides have one.
func overlap(as sense, a repodata.EVR, bs sense, b repodata.EVR) bool {
	if as == 0 || bs == 0 || a.Version == "" || b.Version == "" {
		return true
	}
	if a.Release == "" || b.Release == "" {
		a.Release, b.Release = "", ""
	}
	switch c := a.Compare(b); {
	case c < 0:
		return as&greater != 0 || bs&less != 0
	case c > 0:
		return as&less != 0 || bs&greater != 0
	}
	return as&bs != 0
}

// rich marks a relation whose capability is the text of a rich dependency.
const rich sense = 1 << 3

// relation is something that a package requires: a capability (a name or a
// file) in some versions, or a rich dependency.
type relation struct {
	capability symbol
	evr        evrID
	sense      sense
}

// tree is a rich dependency as repodata.Rich has it, with a relation for each
// plain dependency.
type tree struct {
	op   repodata.Op
	leaf relationID // with OpNone
	args []*tree
}

// relations keeps each distinct relation once.
type relations struct {
	bares []relationID // by symbol: the relation to any version, plus one; most are of that kind
	ids   map[relation]relationID
	all   []relation
	trees map[relationID]*tree // of the rich ones that can be read
}

// id is the number of r, and whether it is a new one.
func (t *relations) id(r relation) (id relationID, fresh bool) {
	if id, ok := t.ids[r]; ok {
		return id, false
	}
	if t.ids == nil {
		t.ids = make(map[relation]relationID)
		t.trees = make(map[relationID]*tree)
	}
	id = relationID(len(t.all))
	t.all = append(t.all, r)
	t.ids[r] = id
	return id, true
}

// bare is the number of the relation to any version of a capability.
func (t *relations) bare(capability symbol) relationID {
	for int(capability) >= len(t.bares) {
		t.bares = append(t.bares, 0)
	}
	at := &t.bares[capability]
	if *at == 0 {
		t.all = append(t.all, relation{capability: capability})
		*at = relationID(len(t.all))
	}
	return *at - 1
}
