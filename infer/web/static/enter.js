// The link with the secret has been opened and the cookie is there: go on to the page, so that the
// secret is in the address no longer. What was asked for behind the # goes along.
location.replace(`/${location.hash}`);
