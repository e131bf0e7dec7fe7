module intelligentmirror

go 1.26
