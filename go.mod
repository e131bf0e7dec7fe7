module intelligentmirror

go 1.26.0

require (
	github.com/cavaliergopher/grab/v3 v3.0.1
	github.com/mattn/go-sqlite3 v1.14.53
	golang.org/x/sys v0.49.0
)
