package popularity

import "time"

const (
	clfDateLen    = len("21/Nov/2026:09:12:44 +0000")
	secondsPerDay = 24 * 60 * 60

	// No log that matters is older; clocks that were never set say 1970.
	earliest = 946684800 // 2000-01-01
	// A client's or a server's clock may be ahead by a time zone or two. What
	// is further ahead would stay at the top of the ranking until its day comes.
	maxAhead = 48 * time.Hour
)

// date parses the date of the common log format, exactly clfDateLen bytes, into
// seconds since 1970. A date of the right shape that does not exist is
// reasonDate.
func (p *parser) date(b []byte) (int64, reason) {
	if string(b) == string(p.lastDate[:]) {
		return p.lastAt, reasonNone
	}
	// Most others differ from the last one in their second alone.
	if string(b[:18]) == string(p.lastDate[:18]) && string(b[20:]) == string(p.lastDate[20:]) && b[2] == '/' {
		second, last := twoDigits(b[18:20]), twoDigits(p.lastDate[18:20])
		if second >= 0 && second <= 60 {
			p.lastAt += second - last
			copy(p.lastDate[18:20], b[18:20])
			return p.lastAt, reasonNone
		}
	}
	if b[2] != '/' || b[6] != '/' || b[11] != ':' || b[14] != ':' || b[17] != ':' || b[20] != ' ' ||
		(b[21] != '+' && b[21] != '-') {
		return 0, reasonMalformed
	}
	var n [7]int64 // day, year, hour, minute, second, zone's hour, zone's minute
	for i, span := range [7][2]int{{0, 2}, {7, 11}, {12, 14}, {15, 17}, {18, 20}, {22, 24}, {24, 26}} {
		v, ok := parseUint(b[span[0]:span[1]])
		if !ok {
			return 0, reasonMalformed
		}
		n[i] = v
	}
	day, year, hour, minute, second, zoneHour, zoneMinute := n[0], n[1], n[2], n[3], n[4], n[5], n[6]
	month := monthNumber(b[3:6])
	if month == 0 || day == 0 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 60 || zoneHour > 14 || zoneMinute > 59 {
		return 0, reasonDate
	}
	zone := (zoneHour*60 + zoneMinute) * 60
	if b[21] == '-' {
		zone = -zone
	}
	at := dayNumber(year, month, day)*secondsPerDay + hour*3600 + minute*60 + second - zone
	copy(p.lastDate[:], b)
	p.lastAt = at
	return at, reasonNone
}

// twoDigits is the number of two decimal digits, negative where they are none.
func twoDigits(b []byte) int64 {
	if b[0] < '0' || b[0] > '9' || b[1] < '0' || b[1] > '9' {
		return -1
	}
	return int64(b[0]-'0')*10 + int64(b[1]-'0')
}

// monthNumber is 1 for "Jan"; 0 for what is no month.
func monthNumber(b []byte) int64 {
	switch string(b) {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	}
	return 0
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// dayNumber is the number of days since 1970-01-01 in the Gregorian calendar.
// It counts in years that begin in March, so that the leap day comes last.
func dayNumber(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468
}

// dayOf is the UTC day, in days since 1970, of a time in seconds since 1970
// that is not before 1970.
func dayOf(at int64) int64 { return at / secondsPerDay }
