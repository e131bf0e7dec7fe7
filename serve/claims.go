package serve

import (
	"encoding/json"
	"net/http"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/upstream"
)

// claimsPath is where squid's helper asks what it can't know from the configuration.
const claimsPath = "/-/claims"

// claimsPage is what it gets there.
type claimsPage struct {
	Repos  []string        `json:"repos"`  // the repositories of this mirror, by name
	Learnt upstream.Claims `json:"learnt"` // by host: which of its files are whose, as lists of mirrors have named it
}

// claims answers with what this mirror takes for its repositories' files beyond
// what the configuration says.
func (s *Server) claims(a *answer) {
	page := claimsPage{Repos: []string{}}
	for _, r := range s.o.Config.Repos {
		page.Repos = append(page.Repos, r.Name)
	}
	if s.o.Learnt != nil {
		page.Learnt = s.o.Learnt()
	}
	body, err := json.Marshal(page)
	if err != nil {
		a.text(http.StatusInternalServerError, cache.Status{}, "What is known of mirrors can't be written: "+err.Error())
		return
	}
	a.document("application/json", append(body, '\n'))
}
