package config

import "testing"

// TestBucket: what a bucket is read as, and written again.
func TestBucket(t *testing.T) {
	for _, tt := range []struct {
		text, name, prefix, again string
	}{
		{"", "", "", ""},
		{"s3://mirror", "mirror", "", "s3://mirror"},
		{"s3://mirror/", "mirror", "", "s3://mirror"},
		{"s3://mirror/packages", "mirror", "packages", "s3://mirror/packages"},
		{"s3://my.site-1/a/b/", "my.site-1", "a/b", "s3://my.site-1/a/b"},
	} {
		c, err := fromText("bucket = '" + tt.text + "'\nbucket_endpoint = 'https://h:9000/'")
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if b := c.Bucket; b.Name != tt.name || b.Prefix != tt.prefix || b.String() != tt.again || b.IsZero() != (tt.name == "") {
			t.Errorf("%q is read as %+v, %q", tt.text, b, b)
		}
		if c.BucketEndpoint != "https://h:9000" {
			t.Errorf("endpoint %q", c.BucketEndpoint)
		}
	}
}
