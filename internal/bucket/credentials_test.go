package bucket

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCredentials: where they come from, and what is refused of them.
func TestCredentials(t *testing.T) {
	const secret = "a-secret-that-no-error-has"
	file := func(mode os.FileMode, text string) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "credentials")
		if err := errors.Join(os.WriteFile(name, []byte(text), 0o600), os.Chmod(name, mode)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const good = "[default]\naws_access_key_id = id\naws_secret_access_key = " + secret + "\n"
	for _, tt := range []struct {
		name string
		file string
		env  map[string]string
		want string // of the error; "" is none
	}{
		{"of the environment", "", map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": secret}, ""},
		{"none at all", "", nil, "set bucket_credentials"},
		{"half of them", "", map[string]string{"AWS_SECRET_ACCESS_KEY": secret}, "set bucket_credentials"},
		{"of a file", file(0o640, good), nil, ""},
		{"a file that is not there", "/nowhere/credentials", nil, "no such file"},
		{"a file that everybody can read", file(0o644, good), nil, "chmod o="},
		{"a file that everybody can write", file(0o602, good), nil, "chmod o="},
		{"a file without a secret", file(0o600, "[default]\naws_access_key_id = id\n"), nil, "aws_secret_access_key"},
		{"a file that has them elsewhere", file(0o600, strings.Replace(good, "default", "other", 1)), nil, "bucket_credentials"},
		{"a file that is none", file(0o600, secret), nil, "bucket_credentials"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := keysOf(Options{Credentials: tt.file, Getenv: func(name string) string { return tt.env[name] }})
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				v, err := c.GetWithContext(nil)
				if err != nil || v.AccessKeyID != "id" || v.SecretAccessKey != secret {
					t.Errorf("%q, %v", v.AccessKeyID, err)
				}
				return
			}
			if !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is in the error: %v", err)
			}
		})
	}
}
