package cache

import "strconv"

// Status is how a file came to be served, as the Cache-Status field says it
// (RFC 9211).
type Status struct {
	Hit       bool   // a stored copy, with no question to upstream
	Fwd       string // why upstream was asked: "uri-miss", "stale", "bypass"
	FwdStatus int    // what upstream answered, where it matters
	Stored    bool   // what came is kept
	Collapsed bool   // another request's download or validation was shared
	Detail    string // "upstream-unreachable", "gone-upstream", "absent", "sibling", "bucket"
}

// String is the field's value.
func (s Status) String() string {
	v := "imserve"
	if s.Hit {
		v += "; hit"
	}
	if s.Fwd != "" {
		v += "; fwd=" + s.Fwd
	}
	if s.FwdStatus != 0 {
		v += "; fwd-status=" + strconv.Itoa(s.FwdStatus)
	}
	if s.Stored {
		v += "; stored"
	}
	if s.Collapsed {
		v += "; collapsed"
	}
	if s.Detail != "" {
		v += "; detail=" + s.Detail
	}
	return v
}
