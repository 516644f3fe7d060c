// Who a client is, by the SHA-256 of its key: a file of that name says so. What is looked up is no secret, so that the
// time which it takes tells nothing.
import crypto from 'crypto';
import fs from 'fs';

const KEYS = '/run/tandem/keys/';

let looked = 0;  // when, in milliseconds; of one request, since each has a context of its own

function digest(r) {
    const given = /^bearer +([!-~]+)$/i.exec(r.headersIn['Authorization'] || '');
    return given ? crypto.createHash('sha256').update(given[1]).digest('hex') : '';
}

// The client's row: `name served rate streams`; nothing for a key that is not known.
function row(r) {
    const known = digest(r);
    try {
        return known && fs.readFileSync(KEYS + known, 'utf8');
    } catch (e) {
        return '';
    }
}

// Ends a stream whose key is no longer known. It looks once a second: what a call allocates stays until the request ends.
// The digest is a variable here, which nginx makes once a request.
function while_known(r, data, flags) {
    const now = Date.now();
    if (now - looked >= 1000) {
        looked = now;
        try {
            fs.accessSync(KEYS + r.variables.key_digest);
        } catch (e) {
            throw new Error('the key of ' + r.variables.client + ' has ended');
        }
    }
    r.sendBuffer(data, flags);
}

// Of a client that may ask for some of this server's models: its row has them, and the request must name one of them. One
// that names none is for the server's own. Of a name said twice the last one counts, here as in vLLM; what is no object in
// JSON names nothing that is allowed.
function admit(r) {
    const names = r.variables.served.slice(1).split(',');
    if (r.method === 'GET' || names.includes(asked(r))) {
        r.internalRedirect('@servers');
    } else {
        r.return(403);
    }
}

function asked(r) {
    try {
        const body = JSON.parse(r.requestText);
        const named = Object.keys(body).includes('model') ? body.model : null;
        return named === null ? r.variables.own_model : named;
    } catch (e) {
        return undefined;
    }
}

export default { admit, digest, row, while_known };
