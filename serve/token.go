package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"intelligentmirror/internal/cache"
)

// minToken is how many characters a token has at least: random ones, it can't be
// guessed however often somebody tries.
const minToken = 20

// Token is a secret that makes whoever gives it an administrator, wherever the
// request comes from. What is kept of it is a digest. A nil *Token is given by nobody.
type Token struct{ sum [sha256.Size]byte }

// NewToken makes a Token of its text. Its error does not quote it.
func NewToken(text string) (*Token, error) {
	if len(text) < minToken {
		return nil, fmt.Errorf("it has %d characters; expected %d or more, at random", len(text), minToken)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return nil, errors.New("it has a character that a program can't send; expected letters, digits and punctuation in one line")
		}
	}
	return &Token{sha256.Sum256([]byte(text))}, nil
}

// is reports whether text is the token, in the same time whatever text is.
func (t *Token) is(text string) bool {
	if t == nil {
		return false
	}
	sum := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}

// given is the token that a request gives: as a browser asks a person for it, the
// password of any name, or as a program sends it, "Bearer TOKEN".
func given(r *http.Request) (text string, ok bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(text), strings.EqualFold(scheme, "Bearer")
}

// byToken reports whether a gives the site's token. One that is wrong is logged.
func (s *Server) byToken(a *answer) bool {
	text, ok := given(a.r)
	if !ok || s.o.Token == nil {
		return false
	}
	if s.o.Token.is(text) {
		return true
	}
	s.refusals.token(a.client.addr)
	return false
}

// mayManage reports whether a is an administrator's: by the address that it comes
// from, or by the token.
func (s *Server) mayManage(a *answer) bool {
	return isAdmin(a.client, s.o.Config.Serve.Admins) || s.byToken(a)
}

// notAdmin answers who is no administrator. A browser asks for the token, if the
// site has one.
func (s *Server) notAdmin(a *answer, what string) {
	const who = "They are the networks of serve.admins, and ask without a proxy in between"
	if s.o.Token == nil {
		a.text(http.StatusForbidden, cache.Status{}, what+" is for administrators.", who+".")
		return
	}
	a.Header().Set("WWW-Authenticate", `Basic realm="IntelligentMirror: any name, and the token as the password", charset="UTF-8"`)
	a.text(http.StatusUnauthorized, cache.Status{}, what+" is for administrators.", who+", or give the token of serve.admin_token.")
}
