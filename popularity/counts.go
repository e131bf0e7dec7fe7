package popularity

import "bytes"

var methodGet = []byte("GET")

// counts says why a request does not count, as far as that can be told without
// its target.
func (p *parser) counts(e *entry) reason {
	switch {
	case e.at < earliest || e.at > p.latest:
		return reasonDate
	case e.fetched:
		return reasonFetched
	case !bytes.Equal(e.method, methodGet):
		return reasonMethod
	case e.status != 200 && e.status != 206 && e.status != 304:
		return reasonStatus
	case e.aborted:
		return reasonAborted
	}
	return agentCounts(e.agent)
}

// programs are those whose requests are no client's, by the beginning of their
// User-Agent.
var programs = [...]struct {
	agent string
	why   reason
}{
	{"imsync/", reasonOwn},
	{"imserve/", reasonReplica},
	{"HAProxy", reasonHealth},
	{"kube-probe/", reasonHealth},
	{"ELB-HealthChecker/", reasonHealth},
	{"GoogleHC/", reasonHealth},
	{"Consul Health Check", reasonHealth},
	{"check_http/", reasonHealth},
	{"check_curl/", reasonHealth},
	{"Blackbox Exporter/", reasonHealth},
	{"Blackbox-Exporter/", reasonHealth},
	{"Prometheus/", reasonHealth},
	{"Zabbix", reasonHealth},
	{"Uptime-Kuma/", reasonHealth},
	{"Monit/", reasonHealth},
}

func agentCounts(agent []byte) reason {
	if len(agent) == 0 {
		return reasonNone
	}
	for i := range programs {
		// The first letter tells nearly all others.
		if p := &programs[i]; p.agent[0] == agent[0] && bytes.HasPrefix(agent, []byte(p.agent)) {
			return p.why
		}
	}
	return reasonNone
}
