# Every page.
failed-title = Problem: { $title }
site = Countersign
languages = Languages
receipt = Code
continue-to = to continue to { $app }
continue = Continue
or = or
moment = { $day } { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
 } { $year }, { $clock } UTC
wait-seconds = { $count ->
    [one] Try again in one second.
   *[other] Try again in { $count } seconds.
 }
wait-minutes = { $count ->
    [one] Try again in one minute.
   *[other] Try again in { $count } minutes.
 }
wait-hours = { $count ->
    [one] Try again in one hour.
   *[other] Try again in { $count } hours.
 }

# Sign-in.
sign-in-title = Sign in
sign-in = Sign in
sign-in-with = Sign in with { $connection }
username = Username or email
password = Password
password-show = Show
password-hide = Hide
own-identity-provider = Please note: your organization may sign in through its own identity provider; use your organization's domain.
custom-domain-hint = Does your organization have its own sign-in?
use-custom-domain = Use custom domain

# Domain.
domain-title = Use your organization’s sign-in
domain-intro = We take you to your organization’s sign-in page. You enter your password there, not here.
domain = Domain or name of your organization
domain-hint = For example acme.com or acme; a colleague finds it in their profile.
domain-back = Sign in with a password instead

# Choice.
choice-title = How do you want to sign in?
choice-intro = There are several ways to sign in for { $entered }. Choose the one that you use at work.
choice-back = Enter another domain

# Consent.
consent-title = Allow { $app }?
consent-from = An app of { $organization }
consent-list = If you allow this, the app can:
consent-allow = Allow
consent-deny = Do not allow
consent-undo = We never share your password. If you do not allow this, you go back to the app without being signed in there.
scope-openid = Recognize you when you come back
scope-profile = See your name and username
scope-email = See your email address
scope-phone = See your phone number
scope-address = See your postal address
scope-offline = Keep this access while you are away
scope-other = Use the permission “{ $scope }”

# Account.
account-title = Your account
sections = Sections of this page
profile = Profile
name = Name
profile-username = Username
email = Email
email-unproven = not verified
organization = Organization
organization-none = None
organization-domain = Domain
organization-domain-hint = You and your colleagues can use it to find your organization’s sign-in.
via = Logged in via
via-session = This session
via-local = Username and password
sessions = Sessions
session-device = Browser
session-began = Signed in
session-used = Last used
session-action = Action
session-local = with a password
session-through = through { $connection }
session-this = This browser
session-end = End session
sessions-end-others = End all other sessions
sessions-end-others-effect = You stay signed in here. Everywhere else you will have to sign in again.
sessions-none = You are not signed in anywhere else.
sessions-none-first = When you sign in with another browser or device, it appears here, and you can end its session.
session-ended = The session has ended.
others-ended = All other sessions have ended.
device = { $browser } on { $system }
device-unknown = Unknown browser
sign-out = Sign out

# Logout.
logout-title = Sign out?
logout-effect = This ends your session in this browser, and with it your access to the apps that you opened from here.
logout-effect-upstream = You are signed in through { $connection }. You can sign out here only, or there as well.
logout-undo = You can sign in again at any time.
logout-local = Sign out here only
logout-upstream = Sign out here and at { $connection }
signed-out-title = You are signed out
signed-out-effect = On a shared computer, close the browser now.
back-to = Back to { $app }
sign-in-again = Sign in again

# Errors (their texts are in errors.ftl) and the repost page.
start-again-at = Start again at { $app }
to-sign-in = Go to the sign-in page
repost-title = One moment
repost-intro = We are taking you to the next page. If nothing happens, press the button.

# Linking.
cancel = Cancel
link-title = Link your account
link-came = You have just signed in through { $provider }.
link-intro = Other ways to sign in use the email { $email } too. If one of them is yours, link it, and you can sign in either way.
link-legend = Which one is yours?
link-proof = Next, sign in that way to show that it is yours. Your own identity provider may ask you to sign in again first. Nothing changes until then.
link-accounts = Link accounts
link-skip = Continue without linking
link-apart = If you do not link them, we will create a separate account.
link-later = You can still link them later, on your account page.
link-unnamed-intro = Do you already have an account here, with a password or through another identity provider? Then you can link it, and sign in either way.
link-existing = Sign in with an existing account
link-new = Continue with a new account
link-confirm-title = Link these two?
link-confirm-intro = You have shown that both are yours:
link-side-new = New here
link-side-subject = User ID there
link-side-unproven = This email address is not verified.
link-confirm-effect = After that, either of them signs you in to the same account, with its roles and apps.
link-undo = You can undo this for 30 days, on your account page.
prove-link-title = Sign in with the other account
prove-link-password = Show that the other account is yours: enter its username and password.
prove-link-intro = Show that the other account is yours: enter its username and password, or sign in through its identity provider.
reauthenticate-title = Confirm that it is you
reauthenticate-intro = The next step changes how you sign in. Enter your password again.
mail-code-intro = We cannot ask your identity provider to check again that it is you. Instead, we send a code to { $email }.
mail-code-send = Send the code
mail-code-sent = We have sent a code to { $email }. It works for ten minutes.
mail-code = Code
mail-code-hint = Eight digits, from the newest mail.
mail-code-verify = Confirm
mail-code-none = No mail? Wait a minute, and check your spam folder.
mail-code-again = Send another code
merge-title = Merge these two accounts?
merge-intro = You have shown that both accounts are yours. You keep one of them, and the other is merged into it.
merge-keep = Which account do you want to keep?
merge-username = Which username and password do you want to keep?
merge-username-other = The other password will no longer work. The other username stays reserved.
merge-effects = What changes
merge-ways = Every way to sign in to either account will open the account that you keep.
merge-roles = The account that you keep will have the roles of both:
merge-apps-one = Apps that know only { $account } will see it as before:
merge-apps-both = Apps that know both will see the account that you keep:
merge-apps-new = Apps that know neither of them yet will see the account that you keep.
merge-sessions = The other account will be closed. You will be signed out of both everywhere but here.
merge-confirm = Merge accounts
role-owner = owner
role-administrator = administrator
role-member = member
role-auditor = auditor
role-operator = operator

# The user’s own profiles.
profile-via = Way to sign in
profile-since = Since
profile-unused = Not yet
profile-here = This session
unlink = Unlink
link-profile = Link another profile
merge = Merge another account
ledger = History
ledger-what = What
ledger-when = When
ledger-linked = Linked
ledger-expected = Linked as your organization had prepared it
ledger-replaced = Replaced when your organization changed its identity provider
ledger-merged = Accounts merged
ledger-unlinked = Unlinked
ledger-undone = Undone
undo = Undo
undo-until = can be undone until
linked-done = Linked. You can sign in that way from now on.
unlinked-done = Unlinked. You can no longer sign in to this account that way.
add-title = Link another profile or account
add-intro = Choose how you sign in to the other one. You will sign in that way next, to show that it is yours.
add-password = Username and password
add-password-hint = of another account of yours
add-after = Before anything changes, you see both, and we ask you once more.
back-to-account = Back to your account
unlink-title = Unlink this way to sign in?
unlink-effect = You will no longer be able to sign in to your account this way:
unlink-current = You are signed in this way now. You will be signed out, and you can sign in again another way.
unlink-local = Your password will be deleted. Your username stays yours.
unlink-undo = You cannot undo this.
unlink-again = You can link it again, as long as you can still sign in there.
undo-title = Undo this?
undo-effect-link = This link will be undone. The way to sign in that it added will no longer open your account:
undo-effect-merge = Roles that were removed since the merge do not come back. The two accounts will be separate again, each with the ways to sign in that it had:
undo-effect-replaced = The way to sign in that you had before will open your account again, and the one that took its place will not:
undo-sessions = You will be signed out, and every session that was started since then will end.
undo-undo = You cannot take this back, but you can link again.
undo-undo-replaced = You cannot take this back. If the new way to sign in is yours, do not undo it.
undo-confirm = Undo it

# Setting a password by a mailed link
set-password-title = Set a password
set-password-intro = Choose a new password for this account. Your old password does not come back.
new-password = New password
password-rules-classic = 8 to 64 characters, with an upper-case letter, a lower-case letter and a digit. Letters, digits and symbols of the English keyboard only, no spaces. None of the last three passwords.
password-rules-nist = 15 to 256 characters of any kind, but none of the most common passwords. Several words work well.
password-too-short = Use more characters.
password-too-long = Use fewer characters.
password-no-upper-case = Use at least one upper-case letter.
password-no-lower-case = Use at least one lower-case letter.
password-no-digit = Use at least one digit.
password-characters = Use only letters, digits and symbols of the English keyboard, without spaces.
password-common = Use something that is not among the most common passwords.
password-recent = Use something other than the last three passwords of this account.
set-password-effect = Everybody who is signed in to this account will be signed out. The link works once.
set-password = Set password
password-set-title = Your password is set
password-set-effect = Sign in with it from now on. The link no longer works.
