package bucket

import (
	"errors"
	"fmt"
	"os"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// ErrCredentials says that there are no credentials that can be used. Another try
// won't help before somebody has seen to them.
var ErrCredentials = errors.New("the bucket's credentials can't be used")

// keysOf are the credentials that o names: of a file, which is read again when they
// have expired, or of the environment. No error has any of them.
func keysOf(o Options) (*credentials.Credentials, error) {
	if o.Credentials == "" {
		id, secret := o.Getenv("AWS_ACCESS_KEY_ID"), o.Getenv("AWS_SECRET_ACCESS_KEY")
		if id == "" || secret == "" {
			return nil, fmt.Errorf("%w: set bucket_credentials to a file that has them, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment", ErrCredentials)
		}
		return credentials.NewStaticV4(id, secret, o.Getenv("AWS_SESSION_TOKEN")), nil
	}
	fi, err := os.Stat(o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("%w: bucket_credentials: %w", ErrCredentials, err)
	}
	if fi.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%w: bucket_credentials: everybody on this machine can read or write %s (mode %04o): chmod o= %s",
			ErrCredentials, o.Credentials, fi.Mode().Perm(), o.Credentials)
	}
	file, err := os.Open(o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("%w: bucket_credentials: %w", ErrCredentials, err)
	}
	file.Close()
	c := credentials.NewFileAWSCredentials(o.Credentials, "default")
	// The parser's error may quote a line, and so a secret.
	if v, err := c.GetWithContext(nil); err != nil || v.AccessKeyID == "" || v.SecretAccessKey == "" {
		return nil, fmt.Errorf("%w: bucket_credentials: %s has no aws_access_key_id and aws_secret_access_key below [default]", ErrCredentials, o.Credentials)
	}
	return c, nil
}
