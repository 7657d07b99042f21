// Package discovery makes services known and finds them: the endpoints of a list, a file or DNS; its etcd package has
// those that hosts publish.
package discovery
