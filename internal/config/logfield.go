package config

import (
	"errors"
	"slices"
	"strings"
)

// LogField says where access logs in JSON have something.
type LogField struct {
	Of   string // one of LogFieldNames
	Path string // names of nested objects, with dots between them: "request.headers.User-Agent"
}

// LogFieldNames are what may be looked for in a line: "request" is the whole
// request line, from which method and target come where they are not there by
// themselves.
var LogFieldNames = [...]string{"client", "forwarded", "time", "method", "target", "request", "status", "bytes", "agent"}

// logField is a codec for a LogField.
func logField() codec[LogField] {
	return ofString("log field", `what and where, such as "client=request.remote_ip"; what is one of `+strings.Join(LogFieldNames[:], ", "),
		parseLogField, func(f LogField) string { return f.Of + "=" + f.Path })
}

func parseLogField(s string) (LogField, error) {
	of, path, ok := strings.Cut(s, "=")
	switch {
	case !ok:
		return LogField{}, errors.New(`no "="`)
	case !slices.Contains(LogFieldNames[:], of):
		return LogField{}, errors.New("unknown")
	case path == "" || slices.Contains(strings.Split(path, "."), ""):
		return LogField{}, errors.New("an empty name")
	}
	return LogField{of, path}, nil
}

// DefaultLogFields fit Caddy's logs, and those of nginx whose fields are called
// as its variables are.
func DefaultLogFields() []LogField {
	var fields []LogField
	for _, s := range []string{
		"client=request.client_ip", "client=request.remote_ip", "client=remote_addr",
		"forwarded=request.headers.X-Forwarded-For", "forwarded=http_x_forwarded_for",
		"time=ts", "time=msec", "time=time_iso8601", "time=time_local",
		"method=request.method", "method=request_method",
		"target=request.uri", "target=request_uri", "request=request",
		"status=status",
		"bytes=size", "bytes=body_bytes_sent", "bytes=bytes_sent",
		"agent=request.headers.User-Agent", "agent=http_user_agent",
	} {
		of, path, _ := strings.Cut(s, "=")
		fields = append(fields, LogField{of, path})
	}
	return fields
}
