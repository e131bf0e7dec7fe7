package config

import (
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// Bucket is where in an object store a site's caches share files. The zero Bucket is
// none.
type Bucket struct {
	Name   string
	Prefix string // what objects' names begin with, without slashes at its ends; "" is nothing
}

// IsZero reports whether there is none.
func (b Bucket) IsZero() bool { return b.Name == "" }

// String is the bucket as it is configured: "s3://name/prefix".
func (b Bucket) String() string {
	if b.IsZero() {
		return ""
	}
	return strings.TrimSuffix("s3://"+b.Name+"/"+b.Prefix, "/")
}

// bucketName is what S3 lets a bucket be called.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// maxPrefix bounds a prefix, in bytes: of 1024 that an object's name can have most are
// the file's.
const maxPrefix = 200

// parseBucket reads what String writes.
func parseBucket(s string) (Bucket, error) {
	if s == "" {
		return Bucket{}, nil
	}
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return Bucket{}, errors.New(`it does not begin with "s3://"`)
	}
	var b Bucket
	b.Name, b.Prefix, _ = strings.Cut(rest, "/")
	b.Prefix = strings.TrimSuffix(b.Prefix, "/")
	_, ip := netip.ParseAddr(b.Name)
	switch {
	case !bucketName.MatchString(b.Name), strings.Contains(b.Name, ".."), ip == nil:
		return Bucket{}, errors.New("no name of a bucket: 3 to 63 of a-z, 0-9, dots and dashes")
	case len(b.Prefix) > maxPrefix:
		return Bucket{}, errors.New("a prefix over 200 bytes")
	}
	for part := range strings.SplitSeq(b.Prefix, "/") {
		if part == "." || part == ".." || part == "" && b.Prefix != "" || strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return Bucket{}, errors.New("a prefix with an empty part, a dot for one, or other than printable ASCII")
		}
	}
	return b, nil
}

// parseEndpoint reads the URL of a server, which has no path: the bucket is that.
func parseEndpoint(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", err
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", errors.New("neither http:// nor https://")
	case u.User != nil:
		return "", errors.New("credentials belong into bucket_credentials")
	case strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return "", errors.New("more than a host and a port; what stands behind them belongs into bucket")
	}
	return u.Scheme + "://" + u.Host, nil
}

// parseRegion refuses what no region is called.
func parseRegion(s string) (string, error) {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return "", errors.New("no name of a region")
	}
	return s, nil
}
