"""Files of requests that machines answer which come for them: `tandem batch`."""
