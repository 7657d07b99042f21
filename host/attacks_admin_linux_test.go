package host_test

import "strings"

// gets is n requests of HTTP/1.1 without a body, as they are sent.
func gets(n int, path string, headers ...string) []byte {
	return []byte(strings.Repeat("GET "+path+" HTTP/1.1\r\n"+strings.Join(append(headers, ""), "\r\n")+"\r\n", n))
}

// adminAttacks are those on the admin listener.
func adminAttacks() []attack {
	const host = "Host: localhost"
	list := []attack{
		{name: "admin: silent peers", peers: 2, act: drip(200, nil, nil)},
		{name: "admin: connections", peers: 4, act: drop(nil)},
		{name: "admin: headers byte by byte", peers: 2, act: drip(200, []byte("GET /livez HTTP/1.1\r\nX: "), []byte(strings.Repeat("x", 4<<10)))},
		{name: "admin: long headers", peers: 2, act: ask(gets(1, "/livez", host, "X: "+strings.Repeat("x", 1<<20)))},
		{name: "admin: bodies byte by byte", peers: 2, act: drip(200, []byte("POST /api/v1/apply HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n"), []byte(strings.Repeat(" ", 4<<10)))},
		{name: "admin: requests", peers: 4, act: insist(nil, gets(50, "/api/v1/status", host))},
		{name: "admin: scrapes that nobody reads", peers: 4, act: pour(nil, gets(50, "/metrics", host))},
		{name: "admin: unknown paths", peers: 2, act: insist(nil, gets(50, "/api/v1/"+strings.Repeat("x", 4<<10), host))},
		{name: "admin: requests of other sites", peers: 2, act: insist(nil, gets(50, "/livez", "Host: evil.example"))},
	}
	for i := range list {
		list[i].admin = true
	}
	return list
}
