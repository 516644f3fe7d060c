// Who a client is, by the SHA-256 of its key: a file of that name says so. What is looked up is no secret, so that the
// time which it takes tells nothing.
import crypto from 'crypto';
import fs from 'fs';

const KEYS = '/run/tandem/keys/', PEERS = '/run/tandem/peers';
const SAID = ['messages', 'input', 'prompt'];
const BEGINNING = 256, STEPS = 16384;

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

// By which requests that begin alike meet one server: of a conversation all up to the first message of its user, which
// its later turns repeat and others seldom share; of a prompt that is one text, or numbers, its first bytes. What cannot
// be read goes anywhere. It is asked for when a server is chosen: sooner there is no body.
function affinity(r) {
    return meeting(r) || r.variables.request_id;
}

function meeting(r) {
    try {
        return r.variables.session || digest_of(begun(r.requestBuffer));
    } catch (e) {
        return '';
    }
}

function digest_of(bytes) {
    return crypto.createHash('sha256').update(bytes).digest('hex');
}

// Of a pod: to the edge of the pod that has read it before, by which all edges agree who that is, or to its own server.
// What was passed on stays. A file names this pod, then those that serve.
function route(r) {
    const home = r.variables.passed ? '' : elsewhere(r);
    if (home) {
        r.variables.peer = home;
    }
    r.internalRedirect(home ? '@peer' : '@own');
}

function elsewhere(r) {
    const key = meeting(r);
    let found = '', most = '';
    try {
        const pods = key ? fs.readFileSync(PEERS, 'utf8').split(' ') : [''];
        for (let i = 1; i < pods.length; i++) {
            const rank = digest_of(key + pods[i]);
            if (rank > most) {
                most = rank;
                found = pods[i];
            }
        }
        return found === pods[0] ? '' : found;
    } catch (e) {
        return '';
    }
}

// Where that is in a body. JSON is not parsed, which would take 10 ms for 200 KB, and memory until the answer ends:
// strings are leapt over, and it ends after STEPS, with what it has; the same bytes come to the same end.
function begun(body) {
    let at = 0, from = 0, depth = 0, name = '', named = false, user = false;
    for (let steps = 0; steps < STEPS && at < body.length; steps++, at++) {
        const c = body[at];
        if (c === 0x22) {  // "
            const start = at;
            let slashes;
            do {
                at = body.indexOf('"', at + 1);
                slashes = slashes_before(body, at);
                steps += slashes;
            } while (at > 0 && slashes % 2 && ++steps < STEPS);
            if (named && depth === 1 && SAID.includes(name)) {
                return body.subarray(start, Math.min(at, start + BEGINNING));
            }
            const text = at - start < 16 ? body.toString('utf8', start + 1, at) : '';
            user = user || (named && depth === 3 && from > 0 && name === 'role' && text === 'user');
            name = named ? name : text;
        } else if (c === 0x7b || c === 0x5b) {  // { [
            from = ++depth === 2 && named && SAID.includes(name) ? at : from;
            named = false;
        } else if (c === 0x7d || c === 0x5d) {  // } ]
            depth--;
            if (from && depth < (user ? 3 : 2)) {
                break;
            }
        } else if (depth === 2 && from && c < 0x3a && c > 0x2f && at > from + BEGINNING) {  // 0 to 9
            break;
        } else if (c === 0x3a || c === 0x2c) {  // : ,
            named = c === 0x3a;
        }
    }
    if (!from) {
        throw new Error('says nothing');
    }
    return body.subarray(from, at);
}

// Those that make a quote one of the text, where they are odd.
function slashes_before(body, at) {
    let slashes = 0;
    while (slashes < STEPS && body[at - 1 - slashes] === 0x5c) {
        slashes++;
    }
    return slashes;
}

export default { admit, affinity, digest, route, row, while_known };
