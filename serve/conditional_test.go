package serve

import (
	"net/http"
	"testing"
	"time"
)

func TestPrecondition(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	before, same, after := at.Add(-time.Second).Format(http.TimeFormat), at.Format(http.TimeFormat), at.Add(time.Second).Format(http.TimeFormat)
	known := validators{`"a"`, at.Add(300 * time.Millisecond)}
	for _, tt := range []struct {
		name   string
		v      validators
		fields []string
		want   verdict
	}{
		{"none", known, nil, proceed},

		{"If-Match, the tag", known, []string{"If-Match", `"a"`}, proceed},
		{"If-Match, in a list", known, []string{"If-Match", `"x", "a"`}, proceed},
		{"If-Match, in a second field", known, []string{"If-Match", `"x"`, "If-Match", `"a"`}, proceed},
		{"If-Match, any", known, []string{"If-Match", "*"}, proceed},
		{"If-Match, another", known, []string{"If-Match", `"x"`}, unmet},
		{"If-Match, weak", known, []string{"If-Match", `W/"a"`}, unmet},
		{"If-Match, no tag is known", validators{modified: at}, []string{"If-Match", `"a"`}, unmet},
		{"If-Match, any, no tag is known", validators{}, []string{"If-Match", "*"}, proceed},
		{"If-Match, nonsense", known, []string{"If-Match", "a"}, unmet},

		{"If-Unmodified-Since, same", known, []string{"If-Unmodified-Since", same}, proceed},
		{"If-Unmodified-Since, later", known, []string{"If-Unmodified-Since", after}, proceed},
		{"If-Unmodified-Since, earlier", known, []string{"If-Unmodified-Since", before}, unmet},
		{"If-Unmodified-Since, no date", known, []string{"If-Unmodified-Since", "yesterday"}, proceed},
		{"If-Unmodified-Since, none is known", validators{tag: `"a"`}, []string{"If-Unmodified-Since", before}, proceed},
		{"If-Match wins over If-Unmodified-Since", known, []string{"If-Match", `"a"`, "If-Unmodified-Since", before}, proceed},

		{"If-None-Match, the tag", known, []string{"If-None-Match", `"a"`}, notModified},
		{"If-None-Match, weak", known, []string{"If-None-Match", `W/"a"`}, notModified},
		{"If-None-Match, in a list", known, []string{"If-None-Match", `"x",W/"y" , "a"`}, notModified},
		{"If-None-Match, empty elements", known, []string{"If-None-Match", `, ,"a"`}, notModified},
		{"If-None-Match, any", known, []string{"If-None-Match", "*"}, notModified},
		{"If-None-Match, another", known, []string{"If-None-Match", `"x"`}, proceed},
		{"If-None-Match, a part of a tag", known, []string{"If-None-Match", `"a`}, proceed},
		{"If-None-Match, the tag behind nonsense", known, []string{"If-None-Match", `x "a"`}, proceed},
		{"If-None-Match, a tag that holds a comma", validators{tag: `"a,b"`}, []string{"If-None-Match", `"a,b"`}, notModified},
		{"If-None-Match, no tag is known", validators{modified: at}, []string{"If-None-Match", `"a"`}, proceed},

		{"If-Modified-Since, same", known, []string{"If-Modified-Since", same}, notModified},
		{"If-Modified-Since, later", known, []string{"If-Modified-Since", after}, notModified},
		{"If-Modified-Since, earlier", known, []string{"If-Modified-Since", before}, proceed},
		{"If-Modified-Since, in an old format", known, []string{"If-Modified-Since", at.Format(time.RFC850)}, notModified},
		{"If-Modified-Since, no date", known, []string{"If-Modified-Since", "0"}, proceed},
		{"If-Modified-Since, twice", known, []string{"If-Modified-Since", after, "If-Modified-Since", after}, proceed},
		{"If-Modified-Since, none is known", validators{tag: `"a"`}, []string{"If-Modified-Since", after}, proceed},
		{"If-None-Match wins over If-Modified-Since", known, []string{"If-None-Match", `"x"`, "If-Modified-Since", after}, proceed},

		{"If-Match fails before If-None-Match", known, []string{"If-Match", `"x"`, "If-None-Match", `"a"`}, unmet},
		{"If-Match holds, If-None-Match too", known, []string{"If-Match", `"a"`, "If-None-Match", `"a"`}, notModified},
		{"If-Unmodified-Since fails before If-Modified-Since", known, []string{"If-Unmodified-Since", before, "If-Modified-Since", after}, unmet},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for i := 0; i < len(tt.fields); i += 2 {
				h.Add(tt.fields[i], tt.fields[i+1])
			}
			if got := precondition(h, tt.v); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRangeFits(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	v := validators{`"a"`, at}
	date := at.Format(http.TimeFormat)
	for _, tt := range []struct {
		name  string
		v     validators
		now   time.Time
		field []string
		want  bool
	}{
		{"none", v, at.Add(time.Hour), nil, true},
		{"the tag", v, at.Add(time.Hour), []string{`"a"`}, true},
		{"another tag", v, at.Add(time.Hour), []string{`"b"`}, false},
		{"the tag, weak", v, at.Add(time.Hour), []string{`W/"a"`}, false},
		{"two tags", v, at.Add(time.Hour), []string{`"a", "a"`}, false},
		{"two fields", v, at.Add(time.Hour), []string{`"a"`, `"a"`}, false},
		{"no tag is known", validators{modified: at}, at.Add(time.Hour), []string{`"a"`}, false},
		{"the date", v, at.Add(time.Hour), []string{date}, true},
		{"the date, in the second that it names", v, at.Add(time.Second / 2), []string{date}, false},
		{"a later date", v, at.Add(time.Hour), []string{at.Add(time.Minute).Format(http.TimeFormat)}, false},
		{"no date is known", validators{tag: `"a"`}, at.Add(time.Hour), []string{date}, false},
		{"nonsense", v, at.Add(time.Hour), []string{"a"}, false},
		{"nothing", v, at.Add(time.Hour), []string{""}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			if tt.field != nil {
				h["If-Range"] = tt.field
			}
			if got := rangeFits(h, tt.v, tt.now); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
