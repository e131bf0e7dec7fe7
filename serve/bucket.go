package serve

import (
	"fmt"
	"time"
)

// BucketState is how it stands with the object store that caches of the site share,
// since the server began.
type BucketState struct {
	Bucket   string    `json:"bucket"`                 // "s3://name/prefix"
	Waiting  int64     `json:"waiting"`                // files that are to be uploaded
	Uploaded int64     `json:"uploaded"`               // files
	Bytes    int64     `json:"uploaded_bytes"`         //
	Failures int64     `json:"failures"`               // uploads that are tried again
	Since    time.Time `json:"failing_since,omitzero"` // when uploads began to fail; zero while they do not
	Error    string    `json:"error,omitempty"`        // of the last, while they fail
}

// bucketState is what the status has of the bucket.
type bucketState struct {
	BucketState
	Came int64 `json:"came_bytes"` // from there, to be stored here
}

// trouble says what is wrong with the bucket, if anything is.
func (b *bucketState) trouble(now time.Time) (p problem, any bool) {
	if b.Error == "" {
		return p, false
	}
	return problem{
		What: fmt.Sprintf("The bucket has taken no uploads for %s: %s.", ago(now.Sub(b.Since)), b.Error),
		Do:   fmt.Sprintf("Clients do not notice: mirrors are asked. %s files wait, and are uploaded when it takes them again.", countText(b.Waiting)), Minor: true,
	}, true
}
