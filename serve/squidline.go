package serve

import (
	"bytes"
	"errors"
	"strings"
)

// squidRequest is one line in which squid asks its helper about a request.
type squidRequest struct {
	// channel is what the answer begins with: squid's number for the question
	// with a space behind it, or "" where squid asks one question at a time.
	channel string
	url     string // as the client wrote it
	method  string // "" where the line does not tell
}

// What is wrong with a line. Each is in the words of the answer to it.
var (
	errNoURL    = errors.New("no URL in this line")
	errControl  = errors.New("a control character in this line")
	errQuote    = errors.New("a quote in this line that does not end")
	errLongLine = errors.New("this line is too long")
)

// parseSquidLine reads a line of squid's helper protocol, without its end:
//
//	[CHANNEL] URL [FIELD...]
//
// with spaces in between. A field that has spaces in it stands in quotes, where a
// backslash takes the next character as it is. Which fields there are is squid's
// configuration (url_rewrite_extras, store_id_extras): a method is known as the
// third of the usual ones, "10.0.0.7/- user GET", or by name, "method=GET". The
// channel is returned with an error too, as far as there is one.
func parseSquidLine(line []byte) (r squidRequest, err error) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	r.channel, line = cutChannel(line)
	for _, c := range line {
		if c < ' ' || c == 0x7f {
			return r, errControl
		}
	}
	if r.url, line, err = nextField(line); err != nil {
		return r, err
	}
	if r.url == "" {
		return r, errNoURL
	}
	usual := false // the fields that squid sends unless it is told otherwise
	for i := 0; len(line) > 0; i++ {
		var field string
		if field, line, err = nextField(line); err != nil {
			return r, err
		}
		if i == 0 {
			usual = strings.Contains(field, "/")
		}
		if method, ok := strings.CutPrefix(field, "method="); ok {
			r.method = method
		} else if i == 2 && usual && !strings.Contains(field, "=") {
			r.method = field
		}
	}
	return r, nil
}

// cutChannel takes the channel off a line that has one: no URL is a number.
func cutChannel(line []byte) (channel string, rest []byte) {
	n := 0
	for n < len(line) && line[n] >= '0' && line[n] <= '9' {
		n++
	}
	switch {
	case n == 0 || n < len(line) && line[n] != ' ':
		return "", line
	case n == len(line):
		return string(line) + " ", nil
	}
	return string(line[:n+1]), line[n+1:]
}

// nextField takes the first field off a line; it is "" where none is left.
func nextField(line []byte) (field string, rest []byte, err error) {
	line = bytes.TrimLeft(line, " ")
	n := bytes.IndexAny(line, ` "`)
	if n < 0 {
		return string(line), nil, nil
	}
	if line[n] == ' ' {
		return string(line[:n]), line[n+1:], nil
	}
	var b strings.Builder
	within := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			within = !within
		case c == '\\' && within && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case c == ' ' && !within:
			return b.String(), line[i+1:], nil
		default:
			b.WriteByte(c)
		}
	}
	if within {
		return "", nil, errQuote
	}
	return b.String(), nil, nil
}

// The answers that squid knows.
const (
	squidOK  = "OK"
	squidERR = "ERR" // the request stays as it is
	squidBH  = "BH"  // the helper can't tell; squid logs it, and the request stays as it is
)

// appendSquidAnswer appends an answer to b, with its newline. A value stands in
// quotes: without them squid would take its %-escapes for its own.
func appendSquidAnswer(b []byte, channel, result, key, value string) []byte {
	b = append(b, channel...)
	b = append(b, result...)
	if key != "" {
		b = append(b, ' ')
		b = append(b, key...)
		b = append(b, `="`...)
		for _, c := range []byte(value) {
			if c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, c)
		}
		b = append(b, '"')
	}
	return append(b, '\n')
}
