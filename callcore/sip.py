"""SIP response codes with their reason phrases (RFC 3261 section 21 unless another RFC is named)."""

from __future__ import annotations

from enum import IntEnum


class SipCode(IntEnum):
    """Response codes that Kalibri itself sends or decides on."""

    #: 21.1.1
    TRYING = 100
    #: 21.1.2
    RINGING = 180
    #: 21.1.5
    SESSION_PROGRESS = 183
    #: 21.2.1
    OK = 200
    #: RFC 6665: accepted, not yet done
    ACCEPTED = 202
    #: 21.3.3
    MOVED_TEMPORARILY = 302
    #: 21.4.1
    BAD_REQUEST = 400
    #: 21.4.2
    UNAUTHORIZED = 401
    #: 21.4.4
    FORBIDDEN = 403
    #: 21.4.5
    NOT_FOUND = 404
    #: 21.4.6
    METHOD_NOT_ALLOWED = 405
    #: 21.4.8
    PROXY_AUTHENTICATION_REQUIRED = 407
    #: 21.4.9
    REQUEST_TIMEOUT = 408
    #: 21.4.14
    UNSUPPORTED_URI_SCHEME = 416
    #: RFC 5079
    ANONYMITY_DISALLOWED = 433
    #: 21.4.18
    TEMPORARILY_UNAVAILABLE = 480
    #: 21.4.19
    NO_SUCH_CALL = 481
    #: 21.4.20
    LOOP_DETECTED = 482
    #: 21.4.21
    TOO_MANY_HOPS = 483
    #: 21.4.23
    AMBIGUOUS = 485
    #: 21.4.24
    BUSY_HERE = 486
    #: 21.4.25
    REQUEST_TERMINATED = 487
    #: 21.4.26
    NOT_ACCEPTABLE_HERE = 488
    #: RFC 6665 section 8.3.2
    BAD_EVENT = 489
    #: 21.5.1
    SERVER_ERROR = 500
    #: 21.5.2
    NOT_IMPLEMENTED = 501
    #: 21.5.4
    SERVICE_UNAVAILABLE = 503
    #: 21.5.5
    SERVER_TIMEOUT = 504
    #: 21.5.7
    MESSAGE_TOO_LARGE = 513
    #: 21.6.2
    DECLINE = 603


REASON_PHRASES: dict[int, str] = {
    SipCode.TRYING: "Trying",
    SipCode.RINGING: "Ringing",
    SipCode.SESSION_PROGRESS: "Session Progress",
    SipCode.OK: "OK",
    SipCode.ACCEPTED: "Accepted",
    SipCode.MOVED_TEMPORARILY: "Moved Temporarily",
    SipCode.BAD_REQUEST: "Bad Request",
    SipCode.UNAUTHORIZED: "Unauthorized",
    SipCode.FORBIDDEN: "Forbidden",
    SipCode.NOT_FOUND: "Not Found",
    SipCode.METHOD_NOT_ALLOWED: "Method Not Allowed",
    SipCode.PROXY_AUTHENTICATION_REQUIRED: "Proxy Authentication Required",
    SipCode.REQUEST_TIMEOUT: "Request Timeout",
    SipCode.UNSUPPORTED_URI_SCHEME: "Unsupported URI Scheme",
    SipCode.ANONYMITY_DISALLOWED: "Anonymity Disallowed",
    SipCode.TEMPORARILY_UNAVAILABLE: "Temporarily Unavailable",
    SipCode.NO_SUCH_CALL: "Call/Transaction Does Not Exist",
    SipCode.LOOP_DETECTED: "Loop Detected",
    SipCode.TOO_MANY_HOPS: "Too Many Hops",
    SipCode.AMBIGUOUS: "Ambiguous",
    SipCode.BUSY_HERE: "Busy Here",
    SipCode.REQUEST_TERMINATED: "Request Terminated",
    SipCode.NOT_ACCEPTABLE_HERE: "Not Acceptable Here",
    SipCode.BAD_EVENT: "Bad Event",
    SipCode.SERVER_ERROR: "Server Internal Error",
    SipCode.NOT_IMPLEMENTED: "Not Implemented",
    SipCode.SERVICE_UNAVAILABLE: "Service Unavailable",
    SipCode.SERVER_TIMEOUT: "Server Time-out",
    SipCode.MESSAGE_TOO_LARGE: "Message Too Large",
    SipCode.DECLINE: "Decline",
}

#: Reason phrase for a class when the code itself is unknown (section 21: x00 stands for its class).
_CLASS_PHRASES = {
    1: "Progress",
    2: "Success",
    3: "Redirection",
    4: "Request Failure",
    5: "Server Failure",
    6: "Global Failure",
}


def reason_phrase(code: int) -> str:
    """Return the reason phrase of a response code; a phrase of its class when the code is unknown."""
    return REASON_PHRASES.get(code) or _CLASS_PHRASES.get(code // 100, "Unknown")
