package testrepo

import (
	"bytes"
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// Metalink is a metalink of a repomd.xml, as MirrorManager makes it.
type Metalink struct {
	Current    []byte   // the repomd.xml that all mirrors are to have
	Alternates [][]byte // those that some may still have
	Mirrors    []string // addresses of the root, best first, whatever their protocol
	Time       time.Time
}

// Bytes is the document.
func (m Metalink) Bytes() []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	fmt.Fprintf(&b, `<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" pubdate="%s" generator="mirrormanager" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files>
  <file name="repomd.xml">
%s`, m.Time.UTC().Format(time.RFC1123), describe(m.Current, m.Time))
	if len(m.Alternates) > 0 {
		b.WriteString("   <mm0:alternates>\n")
		for _, a := range m.Alternates {
			fmt.Fprintf(&b, "    <mm0:alternate>\n%s    </mm0:alternate>\n", describe(a, m.Time))
		}
		b.WriteString("   </mm0:alternates>\n")
	}
	b.WriteString("   <resources maxconnections=\"1\">\n")
	for i, base := range m.Mirrors {
		protocol, _, _ := strings.Cut(base, "://")
		fmt.Fprintf(&b, "    <url protocol=%q type=%q location=\"DE\" preference=\"%d\">%s/repodata/repomd.xml</url>\n",
			protocol, protocol, max(100-i, 0), escape(base))
	}
	b.WriteString("   </resources>\n  </file>\n </files>\n</metalink>\n")
	return b.Bytes()
}

// describe is a version's time, size and digests.
func describe(repomd []byte, at time.Time) string {
	long := sha512.Sum512(repomd)
	short := md5.Sum(repomd)
	return fmt.Sprintf(`    <mm0:timestamp>%d</mm0:timestamp>
    <size>%d</size>
    <verification>
     <hash type="md5">%s</hash>
     <hash type="sha256">%s</hash>
     <hash type="sha512">%s</hash>
    </verification>
`, at.Unix(), len(repomd), hex.EncodeToString(short[:]), hexSum(repomd), hex.EncodeToString(long[:]))
}

func escape(s string) string {
	var b strings.Builder
	// A Builder takes whatever is written to it.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
