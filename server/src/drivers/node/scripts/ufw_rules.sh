section added ufw show added
file_section user_rules /etc/ufw/user.rules
file_section user6_rules /etc/ufw/user6.rules
file_section defaults /etc/default/ufw
for ufw_part in before before6 after after6; do
    file_section "${ufw_part}_rules" "/etc/ufw/$ufw_part.rules"
done
section hooks find /etc/ufw -maxdepth 1 -name '*.init' -perm /111
