package code

import "net/http"

// StatusClientClosedRequest is what proxies log when the client has disconnected; net/http has no name for it.
const StatusClientClosedRequest = 499

var httpStatus = map[Code]int{
	OK:                 http.StatusOK,
	Cancelled:          StatusClientClosedRequest,
	Unknown:            http.StatusInternalServerError,
	InvalidArgument:    http.StatusBadRequest,
	DeadlineExceeded:   http.StatusGatewayTimeout,
	NotFound:           http.StatusNotFound,
	AlreadyExists:      http.StatusConflict,
	PermissionDenied:   http.StatusForbidden,
	ResourceExhausted:  http.StatusTooManyRequests,
	FailedPrecondition: http.StatusBadRequest,
	Aborted:            http.StatusConflict,
	OutOfRange:         http.StatusBadRequest,
	Unimplemented:      http.StatusNotImplemented,
	Internal:           http.StatusInternalServerError,
	Unavailable:        http.StatusServiceUnavailable,
	DataLoss:           http.StatusInternalServerError,
	Unauthenticated:    http.StatusUnauthorized,
}

var reasonStatus = map[string]int{
	ReasonUnknownMethod:  http.StatusNotFound,
	ReasonUnknownCodec:   http.StatusUnsupportedMediaType,
	ReasonTooLarge:       http.StatusRequestEntityTooLarge,
	ReasonNoEndpoint:     http.StatusBadGateway,
	ReasonConnectionLost: http.StatusBadGateway,
	ReasonBadReply:       http.StatusBadGateway,
}

// HTTPStatus returns the HTTP status of an error. For the host's own errors the reason decides where it is more precise
// than the code; otherwise the mapping is that of grpc-gateway. The reason of a handler's error never picks a status.
func (e *Error) HTTPStatus() int {
	if e.Own() {
		if s, ok := reasonStatus[e.Reason]; ok {
			return s
		}
	}
	if s, ok := httpStatus[e.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}
