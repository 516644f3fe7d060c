"""The stack's bucket of batches: objects that are read, listed, and written on condition, so that of two who write the
same one succeeds (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html)."""

from __future__ import annotations

import email.utils
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.sax.saxutils
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import sigv4
from basics import left

ANSWER = 60  # seconds without a byte
TRYING = 300  # seconds in which what S3 refuses or does not answer is asked again
GONE, CONDITION = 404, 412
LISTED = re.compile(r"<Contents>.*?<Key>(.*?)</Key>.*?<LastModified>(.*?)</LastModified>.*?</Contents>", re.DOTALL)
MORE = re.compile(r"<NextContinuationToken>(.*?)</NextContinuationToken>")


@dataclass
class Bucket:
    """A bucket.

    Attributes:
        url: https://NAME.s3.REGION.amazonaws.com
        credentials: key id, secret key and session token, as they are now.
        now: seconds since the epoch by S3's clock, at its last answer: workers compare its times with nothing else.
    """

    url: str
    region: str
    credentials: Callable[[], list[str]]
    now: float = field(default_factory=time.time)

    def get(self, key: str) -> tuple[str, str] | None:
        """Text and ETag of an object; None when there is none."""
        status, text, etag = self._ask("GET", key)
        return None if status == GONE else (text, etag)

    def put(self, key: str, text: str, etag: str = "") -> str | None:
        """Writes an object that is not there yet, or in place of the one with this ETag.

        Returns its ETag; None when another was quicker.
        """
        condition = {"if-match": etag} if etag else {"if-none-match": "*"}
        status, _, new = self._ask("PUT", key, text, condition)
        return None if status in (GONE, CONDITION) else new

    def replace(self, key: str, text: str) -> None:
        """Writes an object, whatever is there."""
        self._ask("PUT", key, text)

    def list(self, prefix: str) -> dict[str, float]:
        """Keys that begin so, in order, and when each was written, in seconds since the epoch."""
        found: dict[str, float] = {}
        query = {"list-type": "2", "prefix": prefix}
        while True:
            _, text, _ = self._ask("GET", "", query=query)
            for key, modified in LISTED.findall(text):
                found[xml.sax.saxutils.unescape(key)] = datetime.fromisoformat(modified).timestamp()
            if not (token := MORE.search(text)):
                return found
            query["continuation-token"] = xml.sax.saxutils.unescape(token[1])

    def _ask(
        self,
        method: str,
        key: str,
        text: str = "",
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> tuple[int, str, str]:
        """Status, text and ETag.

        Raises:
            RuntimeError: no answer or a refusal, for so long.
        """
        # Signed are the parameters in order, with nothing but %20 for a blank.
        parameters = urllib.parse.urlencode(sorted((query or {}).items()), quote_via=urllib.parse.quote, safe="-_.~")
        url = f"{self.url}/{key}" + (f"?{parameters}" if parameters else "")
        end, pause = time.monotonic() + min(TRYING, left()), 0.5
        while True:
            try:
                return self._once(method, url, text, dict(headers or {}))
            except (OSError, RuntimeError, ValueError) as error:
                if time.monotonic() > end:
                    raise RuntimeError(f"{method} {url}: {error}") from None
                time.sleep(min(pause, left()))
                pause = min(2 * pause, 15)

    def _once(self, method: str, url: str, text: str, headers: dict[str, str]) -> tuple[int, str, str]:
        body = text.encode() if method == "PUT" else None
        headers |= {"content-type": "application/jsonl"} if body is not None else {}
        signed = sigv4.signed(self.credentials(), "s3", self.region, method, url, text, headers)
        request = urllib.request.Request(url, body, signed, method=method)  # noqa: S310  of our own
        try:
            with urllib.request.urlopen(request, timeout=max(0.1, min(ANSWER, left()))) as answer:  # noqa: S310
                self.now = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
                return answer.status, answer.read().decode(), answer.headers.get("ETag", "")
        except urllib.error.HTTPError as error:
            said = error.read(400).decode(errors="replace")
            if error.code in (GONE, CONDITION) and "NoSuchBucket" not in said:
                return error.code, "", ""
            raise RuntimeError(f"{error.code} {said}") from None
